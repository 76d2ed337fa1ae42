"""How work for outsiders is kept from taking the processor that guests need.

All threads of vgpud share one interpreter, so whatever is done for a client of the control socket
or for a scraper is time that no trap is answered in. `Pace` says how much of a processor there is
for it, `FairQueue` who gets it next; `PacedLoop` and `PacedWorkers` keep to both.
"""
