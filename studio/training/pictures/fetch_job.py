"""The job that makes a picture set of a data set of the Hugging Face hub."""

from studio.context import Context
from studio.events import Notice
from studio.training.pictures.sets import PictureSets
from studio.training.pictures.tables import TableWish
from studio.training_requests import FetchPicturesRequest

_TELL = 100
"""Pictures from one word on how far it is to the next."""


class FetchingPictures:
    """Its work function. sets: of the data folder."""

    def __init__(self, sets: PictureSets):
        self._sets = sets

    def __call__(self, request: FetchPicturesRequest, context: Context) -> None:
        """Fetch the pictures; nothing is left of a set that is broken off.

        Raises DataError in one sentence for what is no table of pictures, or out of reach.
        """
        count = 0

        def check() -> None:
            nonlocal count
            context.check()
            count += 1
            if count % _TELL == 0:
                context.emit(Notice(text=f"{count:,} pictures of {request.repo} are here."))

        wish = TableWish(request.image, request.text, request.split, request.most)
        taken = self._sets.take_parquet(request.repo, request.name, wish, check)
        context.emit(Notice(text=f"{taken.pictures:,} pictures are in the set {taken.name}."))
