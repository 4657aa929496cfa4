"""The sets of drawings that the model learns from, by package, version and licence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ArtSet:
    """One npm package of icons, its licence, and the word that stands for it in prompts.

    style: the word that stands for the set in prompts ("noto style"); near twins have words of
    their own.
    """

    package: str
    version: str
    licence: str
    style: str
    author: str
    source: str

    @property
    def name(self) -> str:
        """The package without its scope."""
        return self.package.rpartition("/")[2]


ALLOWED_LICENCES = ("MIT", "Apache-2.0", "CC-BY-4.0")
"""No share-alike: whether it would reach the weights is disputed."""

SETS = (
    ArtSet(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "MIT",
        "3d",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    ArtSet(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "MIT",
        "flat",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    ArtSet(
        "@iconify-json/noto",
        "1.2.9",
        "Apache-2.0",
        "noto",
        "Google Inc.",
        "https://github.com/googlefonts/noto-emoji",
    ),
    ArtSet(
        "@iconify-json/noto-v1",
        "1.2.5",
        "Apache-2.0",
        "blob",
        "Google Inc.",
        "https://github.com/googlefonts/noto-emoji",
    ),
    ArtSet(
        "@iconify-json/twemoji",
        "1.2.5",
        "CC-BY-4.0",
        "twemoji",
        "Twitter, Inc. and other contributors",
        "https://github.com/jdecked/twemoji",
    ),
    ArtSet(
        "@iconify-json/emojione",
        "1.2.3",
        "CC-BY-4.0",
        "emojione",
        "Emoji One, continued as Emojitwo",
        "https://github.com/EmojiTwo/emojitwo",
    ),
    ArtSet(
        "@iconify-json/streamline-emojis",
        "1.2.4",
        "CC-BY-4.0",
        "outline",
        "Streamline",
        "https://github.com/webalys-hq/streamline-vectors",
    ),
)

STYLES = tuple(art.style for art in SETS)
BY_NAME = {art.name: art for art in SETS}
