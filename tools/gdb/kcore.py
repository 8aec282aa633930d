# SPDX-License-Identifier: BSD-2-Clause
"""gdb helpers: (gdb) source tools/gdb/kcore.py

Addresses of every kind, allocators and trees print as one line, and

    kc-pt-walk ADDRESS [TREE]

walks a tree of 4 KiB granule level by level, as the hardware would. TREE is an expression for a
struct kc_pt; without it, $kc_pt. Tables are read where RAM appears in the program: on the hosted
body by itself, elsewhere at physical address + $kc_linear (0 if not set).
"""
import gdb
import gdb.printing

ADDRESS_KINDS = ("pa", "va", "uva", "ipa", "dva", "ia")


def cache_live(v):
    """Objects out of the slabs of a struct kc_cache, less those in magazines and in quarantine."""
    kept = int(v['quarantined'])
    for cpu in range(int(v['cpu_count'])):
        kept += int(v['cpu'][cpu]['mag']['count'])
    return int(v['out']) - kept


class Address:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        kind = str(self.value.type.name)[3:-2]
        return f"{kind}:{int(self.value['raw_']):#x}"


class Range:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return f"{Address(self.value['base']).to_string()} + {int(self.value['size']):#x}"


class Frames:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        used = sum(int(v["owner_frames"][i]) for i in range(1, v["owner_frames"].type.range()[1] + 1))
        return (f"frames: {int(v['frame_count'])}, used {used}, peak {int(v['peak_frames'])}, "
                f"spans {int(v['map']['span_count'])}")


class Frame:
    """A frame record; the kind word is taken apart as in src/mem/frame_priv.h."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        kind = int(self.value["kind"])
        state = gdb.Value(kind >> 8 & 0xff).cast(gdb.lookup_type("enum kc_frame_state"))
        return f"frame: {state}, order {kind & 0xff}, owner {kind >> 16}"


class Cache:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        return (f"cache {v['name'].string()!r}: {int(v['object_bytes'])} bytes, "
                f"live {cache_live(v)} of {int(v['capacity'])}, slabs {int(v['slabs'])}, "
                f"frames {int(v['frames_held'])}")


class Tree:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        return (f"tree: root {Address(v['root']).to_string()}, tables {int(v['table_count'])}, "
                f"asid {int(v['asid'])}{', live' if v['live'] else ''}")


def register_printers():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("kcore")
    for kind in ADDRESS_KINDS:
        printers.add_printer(f"kc_{kind}_t", f"^kc_{kind}_t$", Address)
        printers.add_printer(f"kc_{kind}_range_t", f"^kc_{kind}_range_t$", Range)
    printers.add_printer("kc_frames", "^kc_frames$", Frames)
    printers.add_printer("kc_frame", "^kc_frame$", Frame)
    printers.add_printer("kc_cache", "^kc_cache$", Cache)
    printers.add_printer("kc_pt", "^kc_pt$", Tree)
    gdb.printing.register_pretty_printer(None, printers, replace=True)


def linear_offset():
    try:
        return int(gdb.parse_and_eval("(unsigned long)host_ram_offset"))
    except gdb.error:
        pass
    chosen = gdb.convenience_variable("kc_linear")
    return 0 if chosen is None else int(chosen)


def read_descriptor(pa):
    at = (pa + linear_offset()) & (2**64 - 1)
    return int.from_bytes(bytes(gdb.selected_inferior().read_memory(at, 8)), "little")


def leaf_words(d):
    """Permissions and flags of a stage 1 leaf (DDI 0487 D8.3, VMSAv8-64 descriptor formats)."""
    user, read_only = d >> 6 & 1, d >> 7 & 1
    words = ["R" if read_only else "RW"]
    words += [] if d >> (54 if user else 53) & 1 else ["X"]
    words += ["user"] if user else []
    words += [f"attr {d >> 2 & 7}", f"sh {d >> 8 & 3}"]
    words += [] if d >> 10 & 1 else ["no access flag"]
    words += ["not global"] if d >> 11 & 1 else []
    return ", ".join(words)


class PtWalk(gdb.Command):
    """kc-pt-walk ADDRESS [TREE]: how a tree translates an address, level by level."""

    def __init__(self):
        super().__init__("kc-pt-walk", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not 1 <= len(words) <= 2:
            raise gdb.GdbError("usage: kc-pt-walk ADDRESS [TREE]")
        ia = int(gdb.parse_and_eval(words[0])) & (2**64 - 1)
        tree = gdb.parse_and_eval(words[1] if len(words) == 2 else "$kc_pt")
        if tree.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
            tree = tree.dereference()
        if tree.type.strip_typedefs().name != "kc_pt":
            raise gdb.GdbError("not a struct kc_pt: name one, or set $kc_pt")
        form = tree["format"]
        if int(form["granule_log2"]) != 12 or int(form["stage"]) != 1:
            raise gdb.GdbError("only stage 1 of the 4 KiB granule")
        self.walk(ia, int(tree["root"]["raw_"]), int(form["va_bits"]), int(form["upper"]))

    @staticmethod
    def walk(ia, table, va_bits, upper):
        top = ia >> va_bits
        if top != ((1 << (64 - va_bits)) - 1 if upper else 0):
            print(f"{ia:#x} is outside this half of the address space")
            return
        for level in range(3 - (va_bits - 13) // 9, 4):
            shift = 39 - 9 * level
            index = (ia & ((1 << va_bits) - 1)) >> shift & 511
            d = read_descriptor(table + 8 * index)
            where = f"level {level}  table {table:#x} [{index}]  {d:#018x}"
            # Bit 1 is 0 in blocks, which levels 0 and 3 do not have.
            if not d & 1 or (level in (0, 3) and not d & 2):
                print(f"{where}  invalid: translation fault, level {level}")
                return
            if level == 3 or not d & 2:
                mask = (1 << 48) - (1 << shift)
                pa = (d & mask) | (ia & ((1 << shift) - 1))
                kind = "page" if level == 3 else "block"
                print(f"{where}  {kind} of {1 << shift:#x}: {leaf_words(d)}")
                print(f"{ia:#x} -> {pa:#x}")
                return
            print(f"{where}  table")
            table = d & ((1 << 48) - (1 << 12))


register_printers()
PtWalk()
