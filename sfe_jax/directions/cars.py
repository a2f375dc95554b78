"""The release's directions for cars (512 px)."""

from sfe_jax.directions.entries import Entry, GANSpace, StyleSpace

_PCA = "cars_pca"
_TRY = "the effect of each sign is not published: try both"

_GANSPACE: tuple[Entry, ...] = (
    GANSpace(
        "pose", "turns the car", -2, 2, remark=_TRY,
        stem=_PCA, component=0, first=0, last=5,
    ),
    GANSpace(
        "cube", "+ boxier car", remark="the release uses 25",
        stem=_PCA, component=16, first=3, last=6,
    ),
    GANSpace(
        "color", "colour of the car", remark="the release uses -8",
        stem=_PCA, component=22, first=9, last=11,
    ),
    GANSpace(
        "grass", "grass around the car", remark="the release uses -18",
        stem=_PCA, component=41, first=9, last=11,
    ),
)  # fmt: skip

_STYLESPACE: tuple[Entry, ...] = tuple(
    StyleSpace(name, effect, remark=_TRY, channels=channels)
    for name, effect, channels in (
        ("front", "front of the car", ((8, 411),)),
        ("headlights", "headlights", ((8, 441), (9, 355))),
        ("grill", "grill", ((9, 191),)),
        ("trees", "trees behind the car", ((9, 108),)),
        ("grass_ss", "grass around the car", ((12, 107),)),
        ("sky", "sky", ((12, 76),)),
        ("hubcap", "hubcaps", ((12, 113), (12, 439))),
        ("car color", "colour of the car", ((12, 142), (15, 227))),
        ("logo", "logo", ((9, 185),)),
        ("wheel angle", "angle of the wheels", ((8, 420),)),
    )
)

ENTRIES: tuple[Entry, ...] = (*_GANSPACE, *_STYLESPACE)
