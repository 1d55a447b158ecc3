"""The report: statistics, tables, the page and the figures that compare the arms."""
