"""Finished runs → what a report tells beyond the scores.

In: run folders, and the scores and answers of a comparison. Out: records and sentences.

- `words.py`: numbers and names as sentences have them
- `answers.py`: what runs answered to each test text
- `costs.py`: time, size and speed; the Pareto front; when pretraining pays
- `disagreement.py`: exact tests of single runs, and the texts on which two models disagree
- `together.py`: the mean of two models' probabilities
- `slices.py`: scores on parts of the test texts
- `classes.py`: confusions, scores by class, confidence against accuracy
- `decision.py`: what a further point would take
- `headline.py`: the verdict in plain words, how sure it is, what it cost
- `problems.py`: what went wrong, and what is missing
"""
