"""Words that messages are told apart by: long and plain, so that none is misread for another on a picture."""

from __future__ import annotations

WORDS = (
    *("harbour", "pancake", "elephant", "orchard", "lighthouse", "umbrella", "caravan", "dolphin", "mountain"),
    *("pumpkin", "satellite", "trumpet", "volcano", "walnut", "accordion", "blanket", "chimney", "daffodil"),
    *("envelope", "festival", "giraffe", "hammock", "iceberg", "jackpot", "kangaroo", "lantern", "mandarin"),
    *("marmalade", "octopus", "parachute", "quarry", "raspberry", "sandwich", "telescope", "universe", "village"),
    *("whistle", "yoghurt", "zeppelin", "almond", "backpack", "cathedral", "diamond", "emerald", "fountain"),
    *("goldfish", "helmet", "island", "jungle", "kitchen", "lobster", "marathon", "necklace", "ostrich", "penguin"),
    *("rainbow", "saxophone", "tornado", "vanilla", "waterfall", "avocado", "bicycle", "cinnamon", "dragonfly"),
    *("eclipse", "firefly", "gondola", "hurricane", "igloo", "jasmine", "kettle", "lemonade", "meadow"),
    *("nightingale", "oatmeal", "peacock", "quilt", "rhubarb", "sunflower", "tangerine"),
    *("blizzard", "carnival", "dinosaur", "eggplant", "flamingo", "grapefruit", "harmonica", "keyboard", "labyrinth"),
    *("magnolia", "nutmeg", "orchestra", "paintbrush", "reindeer", "skeleton", "thermometer", "windmill", "xylophone"),
)
