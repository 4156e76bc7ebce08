"""Who is contacted through which channel: policies, certified plans, the ledger of contacts."""
