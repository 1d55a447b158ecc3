# docker build -t fkt .
# docker run --shm-size 1g fkt make test
# docker run --shm-size 1g --name fkt-run fkt make repro
FROM python:3.13-slim

# git and make are needed by both commands, Chromium by the tests of the report page.
RUN apt-get update && apt-get install --yes --no-install-recommends chromium git make && rm -rf /var/lib/apt/lists/*

# The packages first, so that an edit of the code does not install them again.
WORKDIR /fkt
COPY Makefile pyproject.toml README.md LICENSE requirements.txt requirements-dev.txt ./
COPY fkt/__init__.py fkt/__init__.py
COPY stages/__init__.py stages/__init__.py
RUN make .venv/.test

COPY . .
CMD ["make", "repro"]
