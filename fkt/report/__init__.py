"""Everything that compares runs: statistics, tables, conclusions, figures."""
