"""A place to drop a picture on, to get its settings back."""

from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from studio.diffusion.metadata import files
from studio.diffusion.metadata.imported import Imported
from studio.errors import MetadataError
from studio.services import Services
from tabs.theme import script

_ICON = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round"><path d="M12 15V4m0 0L8 8m4-4 4 4M4 15v4a1 1 '
    '0 0 0 1 1h14a1 1 0 0 0 1-1v-4"/></svg>'
)


def build() -> gr.HTML:
    """Lay the zone out; it triggers `dropped` with the path and name of the uploaded file."""
    return gr.HTML(
        html_template=f'<label class="at-drop">{_ICON}<span class="words">Drop or choose a picture '
        'to restore its settings</span><input type="file" accept="image/*"></label>',
        js_on_load=script("drop"),
        elem_id="at-drop",
    )


def read_dropped(event: gr.EventData) -> Imported:
    """The settings in the file that was dropped; MetadataError in one sentence when there are none.

    The path comes from the browser: only a file in the upload folder is opened.
    """
    name = str(getattr(event, "name", ""))[:100] or "The file"
    given = str(getattr(event, "path", ""))
    if not given:
        raise MetadataError(f"{name} could not be uploaded; it may be too large.")
    path = uploaded(given)
    if path is None:
        raise MetadataError(f"{name} was not uploaded here; drop it again.")
    try:
        return files.read(path, name)
    finally:
        path.unlink(missing_ok=True)


def uploaded(given: str) -> Path | None:
    """The file of that path if it is one in the upload folder."""
    try:
        path = Path(given).resolve()
        inside = path.is_relative_to(Path(get_upload_folder()).resolve())
        return path if inside and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a ring of links
        return None


def restored(imported: Imported, services: Services) -> tuple[dict[str, object], list[str]]:
    """Values for the form's fields and sentences for the person.

    The model is taken over when it is installed here, else the present one stays.
    """
    fields = dict(imported.fields)
    notes = list(imported.notes)
    entries = {entry.id: entry for entry in services.catalogue.entries() if not entry.problem}
    wanted = str(fields.pop("model", "") or imported.model_name)
    if wanted in entries:
        fields["model"] = wanted
    elif wanted:
        notes.append(f"Model {wanted!r} is not installed here; the present one stays.")
    fields.pop("preview_every", None)
    fields.pop("image_format", None)
    return fields, notes
