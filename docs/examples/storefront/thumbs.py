"""Pictures for products that have none: a shape by the words of the name, in colours by the code."""
import hashlib
from html import escape

# The first word that a name has decides. Paths on a field of 100 x 100.
SHAPES = (
    (("HEART",), "M50 82 C10 52 14 24 34 24 C44 24 50 34 50 38 C50 34 56 24 66 24 C86 24 90 52 50 82Z"),
    (("BAG", "BAGS", "BACKPACK"), "M28 40 H72 L78 82 H22Z M38 40 C38 18 62 18 62 40 H56 C56 27 44 27 44 40Z"),
    (("MUG", "CUP", "TEACUP", "CUPS", "TEA", "COFFEE"), "M26 34 H68 V62 C68 76 58 80 47 80 C36 80 26 76 26 62Z M68 42 C86 40 86 64 66 66 V59 C76 58 76 48 68 49Z"),
    (("CAKE", "CAKESTAND", "BAKING", "CASES", "TIN", "TINS"), "M20 58 H80 V80 H20Z M26 40 H74 V56 H26Z M46 22 H54 V38 H46Z"),
    (("LIGHT", "LIGHTS", "LANTERN", "CANDLE", "CANDLES", "HOLDER", "LAMP"), "M44 44 H56 V84 H44Z M50 16 C62 30 58 40 50 40 C42 40 38 30 50 16Z"),
    (("CLOCK", "ALARM"), "M50 18 A32 32 0 1 0 50 82 A32 32 0 1 0 50 18Z M47 30 H53 V50 H68 V56 H47Z"),
    (("CHRISTMAS", "TREE", "XMAS"), "M50 14 L70 42 H60 L78 66 H55 V84 H45 V66 H22 L40 42 H30Z"),
    (("STAR", "STARS"), "M50 14 L60 40 L88 42 L66 59 L74 86 L50 70 L26 86 L34 59 L12 42 L40 40Z"),
    (("BOX", "BOXES", "DRAWER", "CABINET"), "M20 36 L50 22 L80 36 V72 L50 86 L20 72Z M50 50 L80 36 V42 L53 55 V84 H47 V55 L20 42 V36Z"),
    (("FLOWER", "FLOWERS", "ROSE", "ROSES", "GARDEN", "HERB", "PLANT"), "M50 36 C60 14 84 30 66 46 C90 52 76 78 58 66 C56 90 40 90 42 66 C24 78 10 52 34 46 C16 30 40 14 50 36Z"),
    (("BIRD", "DOVE", "OWL", "DUCK", "HEN"), "M18 56 C28 26 58 26 64 42 L84 36 L72 54 C72 76 44 86 30 70 L14 76Z"),
    (("FRAME", "PICTURE", "SIGN", "CHALKBOARD", "CARD", "CARDS", "PLAQUE"), "M16 24 H84 V78 H16Z M26 34 V68 H74 V34Z"),
    (("GARLAND", "BUNTING", "RIBBON", "CHAIN"), "M10 30 Q50 54 90 30 V36 L78 62 L68 42 L56 72 L46 46 L34 68 L26 42 L14 56Z"),
)
PLAIN = "M24 30 H76 V78 H24Z M18 30 L50 16 L82 30Z"


def thumb(code, name):
    words = name.upper().replace("-", " ").split()
    shape = next((path for keys, path in SHAPES if any(word in keys for word in words)), PLAIN)
    digest = hashlib.sha256(code.encode()).digest()
    hue = digest[0] * 360 // 256
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" role="img" aria-label="{escape(name)}">'
            f'<rect width="100" height="100" fill="hsl({hue} 42% {88 + digest[1] % 5}%)"/>'
            f'<circle cx="{20 + digest[2] % 60}" cy="{16 + digest[3] % 30}" r="{26 + digest[4] % 16}" fill="hsl({(hue + 30) % 360} 50% 82%)" opacity=".6"/>'
            f'<path d="{shape}" fill="hsl({(hue + 8) % 360} 38% 42%)" fill-rule="evenodd"/></svg>')
