"""Fine-tuning runs → a page on which one tries them, in the visitor's browser.

In: finished fine-tuning runs. Out: a folder of static files, which any host serves. Read in this order:

- `models.py`, `linear.py`: a run → its files and its description; the file of a bag-of-words model
- `packages.py`, `package.json`, `package-lock.json`: the tokenizer and the runtime of browsers, by npm
- `site.py`: all of it → the folder
- `server.py`: the folder → a server on this machine

What the browser runs:

- `index.html`, `style.css`, `app.js`: what one sees
- `client.js`, `worker.js`: texts to and answers from a worker
- `classifiers.js`, `encoding.js`, `bag_of_words.js`: models as functions of texts, the same ones as in Python
- `words.js`: which words an answer hangs on
"""
