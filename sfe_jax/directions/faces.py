"""The release's directions for faces (FFHQ, 1024 px).

Signs are stated where the release states them or a family fixes them:
boundaries and mappers move towards what they are named after.
"""

from sfe_jax.directions.entries import (
    Entry,
    FeatureStyle,
    GANSpace,
    InterFaceGAN,
    Mapper,
    StyleSpace,
)

_PCA = "ffhq_pca"
_TRY = "which sign does what is not published: try both"
# Published as 0 to a limit between 0.10 and 0.18, which differs by mapper.
_MAPPER_RANGE = (0, 0.18)


def _mapper(name: str, effect: str) -> Mapper:
  return Mapper(
      name, f"+ {effect}; limits lie between 0.10 and 0.18", *_MAPPER_RANGE
  )


ENTRIES: tuple[Entry, ...] = (
    InterFaceGAN("age", "+ older, - younger", -10, 10, stem="age"),
    InterFaceGAN(
        "smile", "+ smiles more, - smiles less", -5, 5, stem="smile"
    ),
    InterFaceGAN(
        "rotation",
        "+ turns the head right, - turns it left",
        -7,
        7,
        stem="rotation",
    ),
    FeatureStyle(
        "fs_glasses",
        "+ adds glasses, - removes them",
        -20,
        30,
        stem="Eyeglasses_boundary",
    ),
    FeatureStyle(
        "fs_smiling",
        "+ smiles more, - smiles less",
        -10,
        10,
        stem="Smiling_boundary",
    ),
    FeatureStyle(
        "fs_makeup",
        "+ more make-up, - less make-up",
        -10,
        15,
        stem="Heavy_Makeup_boundary",
    ),
    GANSpace(
        "eye_openness",
        "+ closes the eyes, - opens them",
        -30,
        45,
        stem=_PCA,
        component=54,
        first=7,
        last=8,
    ),
    GANSpace(
        "trimmed_beard",
        "+ removes a trimmed beard, - adds one",
        -30,
        30,
        stem=_PCA,
        component=58,
        first=7,
        last=9,
    ),
    GANSpace(
        "lipstick",
        f"lipstick; {_TRY}",
        -30,
        30,
        stem=_PCA,
        component=34,
        first=10,
        last=11,
    ),
    GANSpace(
        "face_roundness",
        f"roundness of the face; {_TRY}",
        -20,
        15,
        stem=_PCA,
        component=37,
        first=0,
        last=5,
    ),
    GANSpace(
        "nose_length",
        "+ shortens the nose, - lengthens it",
        -30,
        30,
        stem=_PCA,
        component=51,
        first=4,
        last=5,
    ),
    GANSpace(
        "eyebrow_thickness",
        "+ thins the eyebrows, - thickens them",
        -20,
        20,
        stem=_PCA,
        component=37,
        first=8,
        last=9,
    ),
    GANSpace(
        "head_angle_up",
        f"raises or lowers the head; {_TRY}",
        stem=_PCA,
        component=11,
        first=1,
        last=4,
    ),
    GANSpace(
        "displeased",
        f"displeased look; {_TRY}",
        -10,
        10,
        stem=_PCA,
        component=36,
        first=4,
        last=7,
    ),
    _mapper("afro", "afro hair"),
    _mapper("angry", "angry look"),
    _mapper("bobcut", "bob cut"),
    _mapper("bowlcut", "bowl cut"),
    _mapper("curly_hair", "curly hair"),
    _mapper("mohawk", "mohawk"),
    _mapper("surprised", "surprised look"),
    _mapper("beyonce", "looks like Beyonce"),
    _mapper("hilary_clinton", "looks like Hillary Clinton"),
    _mapper("depp", "looks like Johnny Depp"),
    _mapper("purple_hair", "purple hair"),
    _mapper("taylor_swift", "looks like Taylor Swift"),
    _mapper("trump", "looks like Donald Trump"),
    _mapper("zuckerberg", "looks like Mark Zuckerberg"),
    StyleSpace("black hair", f"black hair; {_TRY}", channels=((12, 479),)),
    StyleSpace(
        "blond hair",
        "+ darkens the hair, - makes it blond",
        -10,
        7,
        channels=((12, 479), (12, 266)),
    ),
    StyleSpace("grey hair", f"grey hair; {_TRY}", channels=((11, 286),)),
    StyleSpace(
        "wavy hair",
        f"wavy hair; {_TRY}",
        channels=((6, 500), (8, 128), (5, 92), (6, 394), (6, 323)),
    ),
    StyleSpace(
        "bangs",
        f"bangs; {_TRY}",
        channels=(
            (3, 259),
            (6, 285),
            (5, 414),
            (6, 128),
            (9, 295),
            (6, 322),
            (6, 487),
            (6, 504),
        ),
    ),
    StyleSpace(
        "receding hairline",
        f"receding hairline; {_TRY}",
        channels=((5, 414), (6, 322), (6, 497), (6, 504)),
    ),
    StyleSpace("smiling", f"smile; {_TRY}", channels=((6, 501),)),
    StyleSpace("sslipstick", f"lipstick; {_TRY}", channels=((15, 45),)),
    StyleSpace("sideburns", f"sideburns; {_TRY}", channels=((12, 237),)),
    StyleSpace("goatee", f"goatee; {_TRY}", channels=((9, 421),)),
    StyleSpace("earrings", f"earrings; {_TRY}", channels=((8, 81),)),
    StyleSpace(
        "glasses",
        "glasses; the release trains with -10 and -7",
        channels=((3, 288), (2, 175), (3, 120), (2, 97)),
    ),
    StyleSpace(
        "wear suit",
        f"a suit; {_TRY}",
        channels=((9, 441), (8, 292), (11, 358), (6, 223)),
    ),
    StyleSpace(
        "gender",
        "+ more feminine, - more masculine",
        -10,
        7,
        channels=((9, 6),),
    ),
)

# Phase 2 draws a name and a strength from these (the paper's set D).
TRAINING: dict[str, tuple[float, ...]] = {
    "age": (-7, -5, 5, 7, 10),
    "fs_makeup": (5, 8, 12),
    "afro": (0.03, 0.07),
    "angry": (0.06, 0.1),
    "purple_hair": (0.07, 0.1, 0.12),
    "glasses": (-10, -7),
    "face_roundness": (-13, -7, 7, 13),
    "rotation": (-5, -3, -1, 1, 3, 5),
    "bobcut": (0.07, 0.12, 0.18),
    "bowlcut": (0.07, 0.14),
    "mohawk": (0.07, 0.10),
    "blond hair": (-8, -4, 4, 8),
    "fs_smiling": (-6, -3, 3, 6, 9),
}

# The ablation's set.
TRAINING_SMALL: dict[str, tuple[float, ...]] = {
    name: TRAINING[name]
    for name in (
        "age",
        "afro",
        "angry",
        "face_roundness",
        "bowlcut",
        "blond hair",
    )
}
