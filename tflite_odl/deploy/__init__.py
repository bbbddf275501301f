"""From this desk to a phone: read it, choose what fits it, run, pull, compare.

`bridge` talks to one device through adb, `facts` reads what it is, `choice` takes the
variant of an artifact that fits it, `stream` lays out the rows, `app` drives the app on
the phone and `runner` its command line where there is no Android, `here` makes
the same run on this machine, `comparing` holds one against the other, `deploying` does
all of it in order.
"""
