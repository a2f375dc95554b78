"""What the labels of drawn faces look like, in words for users."""

import types
from collections.abc import Mapping

# Label as in labels.csv, one-hot for categories -> (how a face with more of it
# looks, how a face with less of it looks).
EFFECTS: Mapping[str, tuple[str, str]] = types.MappingProxyType({
    "yaw": (
        "head turned to the picture's right",
        "head turned to the picture's left",
    ),
    "pitch": ("head raised, looking up", "head lowered, looking down"),
    "smile": ("broader smile", "corners of the mouth turned down"),
    "mouth_open": ("open mouth", "closed mouth"),
    "age": ("older: wrinkles, grey hair", "younger: smooth skin"),
    "gender": (
        "more feminine: thin brows, long lashes, full lips",
        "more masculine: thick brows, wide jaw and neck",
    ),
    "glasses": ("glasses", "no glasses"),
    "hair_light": ("lighter hair, towards blond", "darker hair, towards black"),
    "hair_red": ("redder hair", "less red hair"),
    "skin": ("darker skin", "lighter skin"),
    "face_width": ("wider face", "narrower face"),
    "jaw": ("square jaw", "pointed chin"),
    "beard": ("longer, fuller beard", "no beard"),
    "eye_colour": ("green, then blue eyes", "brown eyes"),
    "makeup": ("lipstick and eye shadow", "no make-up"),
    "freckles": ("more freckles", "no freckles"),
    "light": (
        "light from the picture's right",
        "light from the picture's left",
    ),
    "earrings": ("earrings", "no earrings"),
    "hair_style=bald": ("bald head", "hair"),
    "hair_style=buzz": ("very short hair", "other hair styles"),
    "hair_style=short": ("short hair", "other hair styles"),
    "hair_style=side_part": ("hair parted at the side", "other hair styles"),
    "hair_style=quiff": ("hair brushed upwards", "other hair styles"),
    "hair_style=curly": ("short curly hair", "other hair styles"),
    "hair_style=afro": ("large afro", "other hair styles"),
    "hair_style=bob": ("chin-length hair", "other hair styles"),
    "hair_style=fringe": (
        "chin-length hair with a fringe", "other hair styles"
    ),
    "hair_style=long": ("long straight hair", "other hair styles"),
    "hair_style=wavy": ("long wavy hair", "other hair styles"),
    "hair_style=bun": ("hair tied in a bun", "other hair styles"),
    "hair_style=ponytail": ("ponytail", "other hair styles"),
    "hair_style=braids": ("two braids", "other hair styles"),
    "hair_style=mohawk": ("mohawk", "other hair styles"),
    "hat=none": ("no hat", "a hat"),
    "hat=cap": ("a cap", "no cap"),
    "hat=beanie": ("a beanie", "no beanie"),
    "hat=headband": ("a headband with a bow", "no headband"),
    "hat=straw": ("a straw hat", "no straw hat"),
    "hat=bandana": ("a bandana", "no bandana"),
    "extra=none": ("nothing unusual on or before the face", "unusual objects"),
    "extra=face_paint": ("painted face", "no face paint"),
    "extra=mask": ("cloth mask over nose and mouth", "no mask"),
    "extra=sunglasses": ("sunglasses", "no sunglasses"),
    "extra=odd_hat": ("costume hat, such as a crown", "no costume hat"),
    "extra=hand": ("a hand before the face", "no hand"),
    "extra=object": ("an object before the face", "no object"),
    "extra=stickers": ("stickers on the picture", "no stickers"),
    "out_of_domain": (
        "unusual objects on or before the face",
        "nothing unusual on or before the face",
    ),
})
