"""The voucher host: who may pay what, an append-only ledger, and answers that are given only once.

`core` decides, `store` and `sql_store` remember, `signatures` says who asks, `api` speaks HTTP,
`faults` breaks it on purpose, `server` runs it, `people` are the synthetic persons of the world.
"""
