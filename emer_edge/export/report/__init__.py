"""The export's report: `report.json` as typed records, and what people read, all of it made from these."""
