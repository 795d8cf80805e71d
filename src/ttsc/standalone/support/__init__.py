"""What standalone files are made of besides parts of ttsc itself. Nothing here is imported when a program is built: the
definitions that a program needs are taken from these sources, and run where there is no ttsc.
"""
