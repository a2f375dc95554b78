"""The release's directions for faces (FFHQ, 1024 px).

Effects, useful ranges and remarks are the release's own.  `adds` and `removes`
name CelebA attributes; the sign of a strength alone does not tell which side an
edit is on: a positive "glasses" removes glasses, a positive "fs_glasses" adds
them.
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
_BACKGROUND = "background artefacts"
_MEN, _WOMEN = "weak on men", "weak on women"
_MOUTH = "may open the mouth"
_TRY = "the effect of each sign is not published: try both"

_INTERFACEGAN: tuple[Entry, ...] = (
    InterFaceGAN(
        "age", "+ older, - younger", -10, 10, removes=("Young",), stem="age"
    ),
    InterFaceGAN(
        "smile", "+ adds a smile, - removes it", -5, 5, adds=("Smiling",),
        remark="hair artefacts; fs_smiling is better", stem="smile",
    ),
    InterFaceGAN(
        "rotation", "+ head turns right, - left", -7, 7, stem="rotation"
    ),
)  # fmt: skip

_FEATURE_STYLE: tuple[Entry, ...] = (
    FeatureStyle(
        "fs_glasses", "+ adds glasses, - removes them", -20, 30, remark=_MOUTH,
        adds=("Eyeglasses",), stem="Eyeglasses_boundary",
    ),
    FeatureStyle(
        "fs_smiling", "+ adds a smile, - removes it", -10, 10,
        adds=("Smiling",), stem="Smiling_boundary",
    ),
    FeatureStyle(
        "fs_makeup", "+ adds make-up, - removes it", -10, 15, remark=_MEN,
        adds=("Heavy_Makeup",), stem="Heavy_Makeup_boundary",
    ),
)  # fmt: skip

_GANSPACE: tuple[Entry, ...] = (
    GANSpace(
        "eye_openness", "+ closes the eyes, - opens them", -30, 45,
        stem=_PCA, component=54, first=7, last=8,
    ),
    GANSpace(
        "trimmed_beard", "+ removes the beard, - adds one", -30, 30,
        remark=_WOMEN, adds=("No_Beard",),
        stem=_PCA, component=58, first=7, last=9,
    ),
    GANSpace(
        "lipstick", "+ adds lipstick, - removes it", -30, 30,
        remark=_MEN, adds=("Wearing_Lipstick",),
        stem=_PCA, component=34, first=10, last=11,
    ),
    GANSpace(
        "face_roundness", "+ rounder face, - narrower face", -20, 15,
        adds=("Chubby",), stem=_PCA, component=37, first=0, last=5,
    ),
    GANSpace(
        "nose_length", "+ shorter nose, - longer nose", -30, 30, remark=_MOUTH,
        stem=_PCA, component=51, first=4, last=5,
    ),
    GANSpace(
        "eyebrow_thickness", "+ thinner eyebrows, - thicker eyebrows", -20, 20,
        removes=("Bushy_Eyebrows",),
        stem=_PCA, component=37, first=8, last=9,
    ),
    GANSpace(
        "head_angle_up", "raises or lowers the head", remark=_TRY,
        stem=_PCA, component=11, first=1, last=4,
    ),
    GANSpace(
        "displeased", "+ sadder, - happier", -10, 10,
        stem=_PCA, component=36, first=4, last=7,
    ),
)  # fmt: skip

_MAPPERS: tuple[Entry, ...] = (
    Mapper("afro", "+ afro hair", 0, 0.14),
    Mapper("angry", "+ angry look", 0, 0.14, remark=_BACKGROUND),
    Mapper("bobcut", "+ bob cut", 0, 0.18, remark=_BACKGROUND),
    Mapper("bowlcut", "+ bowl cut", 0, 0.14, remark=_BACKGROUND),
    Mapper("curly_hair", "+ curly hair", 0, 0.12),
    Mapper("mohawk", "+ mohawk", 0, 0.10, remark=_BACKGROUND),
    Mapper("surprised", "+ surprised look", 0, 0.10),
    Mapper("beyonce", "+ looks like Beyonce", 0, 0.12),
    Mapper("hilary_clinton", "+ looks like Hillary Clinton", 0, 0.10),
    Mapper("depp", "+ looks like Johnny Depp", 0, 0.12),
    Mapper("purple_hair", "+ purple hair", 0, 0.12),
    Mapper("taylor_swift", "+ looks like Taylor Swift", 0, 0.10),
    Mapper("trump", "+ looks like Donald Trump", 0, 0.10),
    Mapper("zuckerberg", "+ looks like Mark Zuckerberg", 0, 0.10),
)

_STYLESPACE: tuple[Entry, ...] = (
    StyleSpace(
        "black hair", "+ darker hair, - lighter hair", -7, 10,
        adds=("Black_Hair",), channels=((12, 479),),
    ),
    StyleSpace(
        "blond hair", "+ darker hair, - blond hair", -10, 7,
        removes=("Blond_Hair",), channels=((12, 479), (12, 266)),
    ),
    StyleSpace(
        "grey hair", "+ coloured hair, - grey hair", -7, 7,
        removes=("Gray_Hair",), channels=((11, 286),),
    ),
    StyleSpace(
        "wavy hair", "+ longer hair, - shorter hair", -7, 7,
        channels=((6, 500), (8, 128), (5, 92), (6, 394), (6, 323)),
    ),
    StyleSpace(
        "bangs", "bangs", remark=_TRY,
        channels=(
            (3, 259), (6, 285), (5, 414), (6, 128), (9, 295), (6, 322),
            (6, 487), (6, 504),
        ),
    ),
    StyleSpace(
        "receding hairline", "+ removes baldness, - adds it", -10, 10,
        removes=("Bald", "Receding_Hairline"),
        channels=((5, 414), (6, 322), (6, 497), (6, 504)),
    ),
    StyleSpace(
        "smiling", "+ removes a smile, - adds one", -10, 10,
        remark="fs_smiling is better", removes=("Smiling",),
        channels=((6, 501),),
    ),
    StyleSpace("sslipstick", "lipstick", remark=_TRY, channels=((15, 45),)),
    StyleSpace(
        "sideburns", "+ removes sideburns, - adds them", -7, 7, remark=_WOMEN,
        removes=("Sideburns",), channels=((12, 237),),
    ),
    StyleSpace(
        "goatee", "+ removes a goatee, - adds one", -7, 7, remark=_WOMEN,
        removes=("Goatee",), channels=((9, 421),),
    ),
    StyleSpace(
        "earrings", "+ adds earrings", 0, 15, remark=_MEN,
        adds=("Wearing_Earrings",), channels=((8, 81),),
    ),
    StyleSpace(
        "glasses", "+ removes glasses, - adds them", -10, 10,
        removes=("Eyeglasses",),
        channels=((3, 288), (2, 175), (3, 120), (2, 97)),
    ),
    StyleSpace(
        "wear suit", "a suit", remark=_TRY,
        channels=((9, 441), (8, 292), (11, 358), (6, 223)),
    ),
    StyleSpace(
        "gender", "+ more feminine, - more masculine", -10, 7,
        remark="a StyleCLIP text direction is better", removes=("Male",),
        channels=((9, 6),),
    ),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = (
    *_INTERFACEGAN,
    *_FEATURE_STYLE,
    *_GANSPACE,
    *_MAPPERS,
    *_STYLESPACE,
)
