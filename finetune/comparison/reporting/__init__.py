"""What was found → a page, Markdown and CSV with the same numbers.

- `tables.py`: a table, shown and as records; `sections.py`: a part of the report
- `score_tables.py`: scores, gains, worths; `together_table.py`: two models together;
  `analysis_tables.py`: all other tables
- `settings_table.py`: steps and settings of each model; `tuning_table.py`: the trials of equal tuning, and failed runs
- `provenance.py`: machine, versions, fingerprints, leakage; `method.py`: how the numbers were made, in plain words
- `content.py`: what is read and computed for a report, and the report itself; `build.py`: its sections
- `page.py`, `page.html.j2`, `page.css`, `page.js`: the report as one HTML file
- `markdown.py`: the report as Markdown
"""
