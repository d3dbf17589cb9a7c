"""The tracker: pipelines, tasks, leases, runs and what agents report."""
