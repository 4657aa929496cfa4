"""What a fine-tuning run is asked to do: one frozen record, kept as options.json in its folder."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.errors import DataError, from_os_error

FILE_NAME = "options.json"


class Options(BaseModel):
    """A run: its model, its data and its recipe.

    base: folder or hub id of an encoder or of a reader. train, dev: SQuAD files; without dev there
    are no scores. cache: folder of tokenised data, by default in the run's own.
    layer_decay: the learning rate of each layer is this share of that of the layer above it.
    head_rate: the rate of the new output layer, as a multiple. warmup: share of all steps.
    dropout: of hidden states, attention_dropout: of the weights of attention; None keeps the
    model's. Without the latter a CPU is a quarter faster (2.64 to 3.53 s a step of MiniLM), because
    torch has a fused kernel for it. batch_size: windows that are in memory at a
    time; accumulate: such batches of one step of the optimiser, on each process.
    max_steps: 0 for as many as the epochs have. save_minutes: between checkpoints.
    evaluate_every: steps between scores, 0 for each epoch's end. dev_questions: that the scores
    are of, 0 for all. threads: of torch, 0 for its own choice. max_minutes: until the run stops
    as if it were told to, 0 for never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    train: Path
    dev: Path | None = None
    cache: Path | None = None
    seed: int = Field(0, ge=0)
    epochs: float = Field(2.0, gt=0, le=1000)
    max_steps: int = Field(0, ge=0)
    learning_rate: float = Field(5e-5, gt=0, le=1)
    layer_decay: float = Field(1.0, gt=0, le=1)
    head_rate: float = Field(1.0, gt=0, le=1000)
    warmup: float = Field(0.1, ge=0, le=1)
    weight_decay: float = Field(0.01, ge=0, le=1)
    clip_norm: float = Field(1.0, ge=0, description="0 for none.")
    dropout: float | None = Field(None, ge=0, lt=1)
    attention_dropout: float | None = Field(None, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(16, ge=1, le=4096)
    accumulate: int = Field(1, ge=1, le=4096)
    max_length: int = Field(384, ge=48, le=8192)
    overlap: int = Field(128, ge=0, le=4096)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    save_minutes: float = Field(10.0, ge=0)
    evaluate_every: int = Field(0, ge=0)
    dev_questions: int = Field(2000, ge=0)
    report_every: int = Field(20, ge=1)
    max_minutes: float = Field(0.0, ge=0)
    threads: int = Field(0, ge=0)

    def write(self, run: Path) -> None:
        """Keep them in the run's folder, which is made."""
        try:
            run.mkdir(parents=True, exist_ok=True)
            aside = run / (FILE_NAME + ".part")
            aside.write_text(self.model_dump_json(indent=2), encoding="utf-8")
            aside.replace(run / FILE_NAME)
        except OSError as error:
            raise from_os_error(error, f"write {run / FILE_NAME}") from None


def read_options(run: Path) -> Options:
    """The options of a run's folder; DataError when there are none that can be read."""
    path = run / FILE_NAME
    try:
        return Options.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); name the folder of a run."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its JSON"
        raise DataError(f"{path} cannot be used: {where}: {first['msg']}.") from None
