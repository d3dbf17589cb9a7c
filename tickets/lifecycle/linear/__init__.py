"""Linear: its webhooks, its GraphQL API, and how its issues and our tickets are one thing.

``client`` talks to the network; everything else here is a pure function.
"""
