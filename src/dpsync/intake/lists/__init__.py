"""Lists of people in files, as spreadsheets and databases write them: imported, or looked at before a mailing."""
