"""rec_help is a manual of what is there: no name too many, none missing, and an error for others."""

from support import equal, refused, rows


def test_every_name_is_in_the_manual_once_with_all_its_cells(shop):
    db = shop.connect()
    listed = rows(db, "SELECT kind, name, arguments, meaning, result, example, page FROM rec_help")
    named = [(kind, name) for kind, name, *_ in listed if kind != "command"]
    equal(len(named), len(set(named)))
    equal([row for row in listed if any(cell is None for cell in row)], [])
    there = rows(
        db,
        "SELECT DISTINCT name FROM pragma_function_list WHERE name GLOB 'rec_*' UNION "
        "SELECT name FROM pragma_module_list WHERE name GLOB 'rec_*'",
    )
    equal(sorted(name for _, name in named if name.startswith("rec_")), sorted(n for n, in there))
    equal(
        [name for kind, name in named if kind == "algorithm"],
        [n for n, in rows(db, "SELECT DISTINCT algorithm FROM rec_options") if n not in ("auto", "predictor")],
    )


def test_an_algorithm_is_explained_with_its_options_as_rec_options_has_them(shop):
    db = shop.connect()
    equal(
        rows(db, "SELECT name, arguments, result, meaning FROM rec_help('ials') WHERE kind = 'option'"),
        rows(db, "SELECT option, range, initial, meaning FROM rec_options('ials')"),
    )
    equal(rows(db, "SELECT kind FROM rec_help('IALS') LIMIT 1"), [("algorithm",)])


def test_what_is_not_there_is_an_error_that_says_how_to_list(shop):
    refused(
        shop.connect(),
        "SELECT * FROM rec_help('rec_nothing')",
        says="SELECT name FROM rec_help",
    )
