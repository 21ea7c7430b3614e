"""JSON by the C half of Python's json module."""


def quick_json():
    """(loads, dumps) of the json module by its C half alone; raises anything where this Python has another.

    The module needs `re` for what the C half does itself, and with that takes a quarter of the runner's start.
    """
    import _json

    class Rules:
        strict, object_hook, object_pairs_hook, memo = True, None, None, {}
        parse_float, parse_int, parse_constant = float, int, float

    def refuse(value):
        raise TypeError("%r cannot be JSON" % (value,))

    scan = _json.make_scanner(Rules)
    settings = (None, refuse, _json.encode_basestring_ascii, None, ": ", ", ")
    encoders = {sort_keys: _json.make_encoder(*settings, sort_keys, False, True) for sort_keys in (False, True)}

    def loads(text):
        try:
            value, end = scan(text, len(text) - len(text.lstrip(" \t\r\n")))
        except StopIteration:
            raise ValueError("a value is missing") from None
        if text[end:].strip(" \t\r\n"):
            raise ValueError("more than one value: char %d" % end)
        return value

    def dumps(value, sort_keys=False):
        return "".join(encoders[sort_keys](value, 0))

    loads(dumps({"a": [1, 2.5, None, True, "\u00e9"]}))
    return loads, dumps


try:
    loads, dumps = quick_json()
except Exception:
    import json

    loads, dumps = json.loads, json.dumps
