"""`ttsc plan`: the setting to run a program with, chosen by what it is expected to give and to cost; and the file it is
kept in.
"""
