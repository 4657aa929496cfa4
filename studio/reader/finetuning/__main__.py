"""`python -m studio.reader.finetuning RUN`: the process that does a run."""

from studio.reader.finetuning.program import main

if __name__ == "__main__":
    main()
