"""What the demo model is taught, as plain lists: colours, shapes, objects, scenes, backgrounds."""

from typing import Final, TypeAlias

Rgb: TypeAlias = tuple[int, int, int]

COLOURS: Final[dict[str, Rgb]] = {
    "red": (222, 40, 40),
    "orange": (247, 140, 30),
    "yellow": (250, 215, 50),
    "green": (45, 160, 70),
    "blue": (45, 95, 215),
    "purple": (135, 65, 185),
    "pink": (247, 145, 190),
    "brown": (125, 80, 45),
    "black": (20, 20, 22),
    "white": (248, 248, 248),
    "gray": (140, 142, 148),
}

COLOUR_WORDS: Final[dict[str, tuple[str, ...]]] = {"gray": ("gray", "grey")}

SHAPES: Final[dict[str, tuple[str, ...]]] = {
    "circle": ("circle", "circle", "circle", "dot", "disc"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "diamond": ("diamond",),
    "hexagon": ("hexagon",),
    "ring": ("ring",),
    "cross": ("cross", "cross", "cross", "plus"),
    "crescent": ("crescent", "moon", "crescent moon"),
}

# Icon name in fluent-emoji-flat -> the words for it, the first one being its name on our lists.
OBJECTS: Final[dict[str, tuple[str, ...]]] = {
    "cat-face": ("cat", "cat", "cat", "kitten"),
    "dog-face": ("dog", "dog", "dog", "puppy"),
    "fox": ("fox",),
    "panda": ("panda",),
    "rabbit-face": ("rabbit", "rabbit", "bunny"),
    "frog": ("frog",),
    "pig-face": ("pig",),
    "penguin": ("penguin",),
    "owl": ("owl",),
    "tropical-fish": ("fish",),
    "spouting-whale": ("whale",),
    "butterfly": ("butterfly",),
    "lady-beetle": ("ladybug", "ladybug", "ladybird"),
    "red-apple": ("apple",),
    "banana": ("banana",),
    "strawberry": ("strawberry",),
    "pizza": ("pizza", "pizza", "slice of pizza"),
    "carrot": ("carrot",),
    "mushroom": ("mushroom",),
    "cactus": ("cactus",),
    "deciduous-tree": ("tree",),
    "sunflower": ("sunflower", "sunflower", "flower"),
    "automobile": ("car",),
    "rocket": ("rocket", "rocket", "rocket", "spaceship"),
    "airplane": ("airplane", "plane"),
    "sailboat": ("sailboat", "boat"),
    "house": ("house", "house", "house", "home"),
    "umbrella": ("umbrella",),
    "balloon": ("balloon",),
    "ghost": ("ghost",),
    "crown": ("crown",),
    "robot": ("robot",),
    "snowman-without-snow": ("snowman",),
    "jack-o-lantern": ("pumpkin", "pumpkin", "jack-o-lantern"),
}

SCENES: Final[dict[str, tuple[str, ...]]] = {
    "field": ("in a green field", "in a green field", "on the grass", "in a meadow", "in a field"),
    "night": ("at night", "at night", "at night", "in the night sky", "under the stars"),
    "sunset": ("at sunset", "at sunset", "at sunset", "in front of a sunset", "in the sunset"),
    "beach": ("on the beach", "on the beach", "on a beach", "at the beach", "by the sea"),
    "snow": ("in the snow", "in the snow", "in the snow", "in winter", "on snow"),
    "underwater": ("underwater", "underwater", "under water", "under the sea", "in the ocean"),
}

EMPTY_SCENES: Final[dict[str, tuple[str, ...]]] = {
    "field": ("a green field", "a meadow", "grass"),
    "night": ("the night sky", "night", "stars at night"),
    "sunset": ("a sunset", "sunset"),
    "beach": ("a beach", "the sea"),
    "snow": ("snow", "a winter landscape"),
    "underwater": ("underwater", "the ocean"),
}

BACKGROUNDS: Final[tuple[str, ...]] = (
    " on a {} background",
    " on a {} background",
    " on a {} background",
    " on a {} background",
    " on {}",
    " on {}",
    " on {}",
    ", {} background",
    " with a {} background",
    " in front of a {} background",
)


def object_names() -> list[str]:
    """Name the objects by their first word."""
    return [words[0] for words in OBJECTS.values()]
