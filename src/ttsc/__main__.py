"""`python -m ttsc`"""

from ttsc.cli import main

main()
