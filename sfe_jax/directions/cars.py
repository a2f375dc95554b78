"""The release's directions for cars (512 px)."""

from sfe_jax.directions.entries import Entry, GANSpace, StyleSpace

_PCA = "cars_pca"
_TRY = "which sign does what is not published: try both"

ENTRIES: tuple[Entry, ...] = (
    GANSpace(
        "pose",
        f"turns the car; {_TRY}",
        -2,
        2,
        stem=_PCA,
        component=0,
        first=0,
        last=5,
    ),
    GANSpace(
        "cube",
        "a boxier car; the release uses 25",
        stem=_PCA,
        component=16,
        first=3,
        last=6,
    ),
    GANSpace(
        "color",
        "colour of the car; the release uses -8",
        stem=_PCA,
        component=22,
        first=9,
        last=11,
    ),
    GANSpace(
        "grass",
        "grass around the car; the release uses -18",
        stem=_PCA,
        component=41,
        first=9,
        last=11,
    ),
    StyleSpace("front", f"front of the car; {_TRY}", channels=((8, 411),)),
    StyleSpace(
        "headlights", f"headlights; {_TRY}", channels=((8, 441), (9, 355))
    ),
    StyleSpace("grill", f"grill; {_TRY}", channels=((9, 191),)),
    StyleSpace("trees", f"trees behind the car; {_TRY}", channels=((9, 108),)),
    StyleSpace(
        "grass_ss", f"grass around the car; {_TRY}", channels=((12, 107),)
    ),
    StyleSpace("sky", f"sky; {_TRY}", channels=((12, 76),)),
    StyleSpace("hubcap", f"hubcaps; {_TRY}", channels=((12, 113), (12, 439))),
    StyleSpace(
        "car color",
        f"colour of the car; {_TRY}",
        channels=((12, 142), (15, 227)),
    ),
    StyleSpace("logo", f"logo; {_TRY}", channels=((9, 185),)),
    StyleSpace(
        "wheel angle", f"angle of the wheels; {_TRY}", channels=((8, 420),)
    ),
)

# The set of phase 2 is the paper's (section 7), which gives no strengths: those
# of GANSpace are the release's single ones, those of StyleSpace ours.
TRAINING: dict[str, tuple[float, ...]] = {
    "cube": (25,),
    "grass": (-18,),
    "color": (-8,),
    "trees": (-10, 10),
    "headlights": (-10, 10),
}
