import sys
import unittest

from tool import TOOLS, ToolTest

sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
import rooms  # noqa: E402


class TableTest(unittest.TestCase):
    def test_every_entry_names_a_room(self) -> None:
        for room, entries in rooms.TABLE.items():
            for entry in entries:
                self.assertIn(entry.split("/")[0], rooms.TABLE, f"entry of {room}")

    def test_no_room_reaches_itself_through_another(self) -> None:
        for room, entries in rooms.TABLE.items():
            for entry in entries:
                if "/" not in entry:
                    self.assertNotIn(room, rooms.reachable(entry), f"{room} <-> {entry}")

    def test_what_rooms_reach(self) -> None:
        self.assertEqual(rooms.reachable("core"), {"core"})
        self.assertEqual(rooms.reachable("kernels"), {"kernels", "core", "format/ternary"})
        self.assertEqual(rooms.reachable("text"), {"text", "format", "core"})
        self.assertLessEqual({"arch", "backend", "comm", "core"}, rooms.reachable("model"))
        self.assertNotIn("text", rooms.reachable("model"))
        self.assertNotIn("engine", rooms.reachable("supervise"))
        self.assertEqual(rooms.reachable("cli"), set(rooms.TABLE) | {"format/ternary"})
        self.assertNotIn("cli", rooms.reachable("api"))


class CheckLayersTest(ToolTest):
    tool = "check_layers"

    def setUp(self) -> None:
        super().setUp()
        self.write("src/core/result.h", "#include <vector>\n")
        self.write("src/format/gguf/gguf_file.h", '#include "core/result.h"\n')
        self.write("src/format/ternary/i2_s.h", '#include "core/result.h"\n')
        self.write("src/kernels/kernel_table.h", "#include <cstdint>\n")
        self.write("src/kernels/dispatch.cpp", '#include "format/ternary/i2_s.h"\n')
        self.write(
            "src/kernels/avx2/linear.cpp",
            '#include <immintrin.h>\n#include "kernels/kernel_table.h"\n',
        )
        self.write("src/engine/engine.cpp", '#include "core/result.h"\n#include <sys/mman.h>\n')

    def test_a_clean_tree_is_green(self) -> None:
        self.assert_green()

    def test_an_include_against_the_flow(self) -> None:
        self.write("src/core/bad.h", '#pragma once\n#include "format/gguf/gguf_file.h"\n')
        self.assert_red("src/core/bad.h:2: core may not include format/gguf/gguf_file.h")

    def test_a_room_beside(self) -> None:
        self.write("src/text/bad.cpp", '  #  include "engine/engine.h"\n')
        self.assert_red("src/text/bad.cpp:1: text may not include engine/engine.h")

    def test_angle_brackets_do_not_hide_a_room(self) -> None:
        self.write("src/core/bad.h", "#include <format/gguf/gguf_file.h>\n")
        self.assert_red("core may not include format/gguf/gguf_file.h")

    def test_kernels_see_only_the_ternary_folder_of_format(self) -> None:
        self.write("src/kernels/bad.cpp", '#include "format/gguf/gguf_file.h"\n')
        self.assert_red("kernels may not include format/gguf/gguf_file.h")

    def test_a_name_that_begins_like_a_room_is_not_that_room(self) -> None:
        self.write("src/kernels/bad.cpp", '#include "format/ternary_other.h"\n')
        self.assert_red("kernels may not include format/ternary_other.h")

    def test_an_unknown_room(self) -> None:
        self.write("src/attic/thing.cpp", "\n")
        self.write("src/cli/main.cpp", '#include "attic/thing.h"\n')
        self.assert_red("'attic' is no room", "src/cli/main.cpp:1: 'attic/thing.h' is in no room")

    def test_a_source_file_outside_of_the_rooms(self) -> None:
        self.write("src/loose.cpp", "\n")
        self.assert_red("src/loose.cpp:1: a source file belongs into a room")

    def test_an_include_without_its_room(self) -> None:
        self.write("src/core/bad.cpp", '#include "result.h"\n')
        self.assert_red('"result.h" lacks its room')

    def test_an_include_by_macro(self) -> None:
        self.write("src/core/bad.cpp", "#include BODY\n")
        self.assert_red("'#include BODY' names a macro")

    def test_the_embedded_model_is_for_the_command_line(self) -> None:
        self.write("src/cli/run.cpp", '#include "models/embedded_model.h"\n')
        self.assert_green()
        self.write("src/engine/bad.cpp", '#include "models/embedded_model.h"\n')
        self.assert_red("engine may not include models/embedded_model.h")

    def test_a_tier_sees_no_standard_container(self) -> None:
        self.write("src/kernels/avx2/bad.cpp", "#include <cstddef>\n#include <algorithm>\n")
        self.assert_red("src/kernels/avx2/bad.cpp:2: a tier file may not see algorithm")

    def test_a_tier_sees_other_rooms_only_where_they_keep_its_rule(self) -> None:
        self.write("src/core/bits.h", "#include <cstdint>\n")
        self.write("src/kernels/generic/body.h", '#include "core/bits.h"\n')
        self.assert_green()
        self.write("src/kernels/generic/bad.h", '#include "core/result.h"\n')
        self.assert_red("src/core/result.h:1: a tier file may not see vector (reached from")

    def test_the_baseline_tier_may_use_the_standard_library(self) -> None:
        self.write("src/kernels/scalar/kernels.cpp", "#include <cmath>\n")
        self.assert_green()

    def test_a_header_that_is_not_there(self) -> None:
        self.write("src/kernels/avx2/bad.cpp", '#include "kernels/gone.h"\n')
        self.assert_red("src/kernels/avx2/bad.cpp:1: a tier file may not see kernels/gone.h")

    def test_a_tier_reaches_nothing_through_a_header_of_kernels(self) -> None:
        self.write("src/kernels/kernel_table.h", "#include <vector>\n")
        self.assert_red(
            "src/kernels/kernel_table.h:1: a tier file may not see vector "
            "(reached from src/kernels/avx2/linear.cpp)"
        )


if __name__ == "__main__":
    unittest.main()
