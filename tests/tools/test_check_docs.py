import unittest

from tool import ToolTest

ROADMAP = """# Roadmap
| id | capability | status | gap | room |
| --- | --- | --- | --- | --- |
| GGUF | Read GGUF files | done | - | format |
| CLI | Command line | partial | no chat | cli, scripts |
| GPU | Run on GPUs | planned | all of it | backend/gpu |
"""
SRD = """# Requirements
## GGUF: Read GGUF files
| id | requirement | status | shown by |
| --- | --- | --- | --- |
| R-GGUF-01 | Counts are checked. | done | `tests/format` |

## CLI: Command line
| id | requirement | status | shown by |
| --- | --- | --- | --- |
| R-CLI-01 | It runs. | done | `claims/fresh_clone` |
| R-CLI-02 | It chats. | planned | |
"""
README = """# Tern
| capability | status |
| --- | --- |
| Read GGUF files | done |
| Command line | partial |

See [the roadmap](docs/roadmap.md#roadmap), and `src/format/` for bytes.
"""


class CheckDocsTest(ToolTest):
    tool = "check_docs"

    def setUp(self) -> None:
        super().setUp()
        self.write("docs/roadmap.md", ROADMAP)
        self.write("docs/srd.md", SRD)
        self.write("README.md", README)
        self.write("src/format/README.md", "# format\n")
        self.write("tests/format/a_test.cpp")
        self.write("scripts/run")
        self.write("claims/fresh_clone").chmod(0o755)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text(encoding="utf-8")
        self.assertIn(old, text)
        self.write(path, text.replace(old, new))

    def test_a_tree_in_agreement_is_green(self) -> None:
        self.assert_green()

    def test_readme_with_another_status(self) -> None:
        self.replace("README.md", "Command line | partial", "Command line | done")
        self.assert_red("README.md: 'Command line' is done, in the roadmap partial")

    def test_readme_lacks_a_capability(self) -> None:
        self.replace("README.md", "| Command line | partial |\n", "")
        self.assert_red("README.md: 'Command line' (partial) is missing")

    def test_readme_boasts(self) -> None:
        self.replace("README.md", "| Command line |", "| Mind reading | done |\n| Command line |")
        self.assert_red("README.md: 'Mind reading' is not in the roadmap")

    def test_srd_with_another_name(self) -> None:
        self.replace("docs/srd.md", "## CLI: Command line", "## CLI: Shell")
        self.assert_red("CLI: roadmap has ('Command line', 'partial')")

    def test_status_follows_from_the_requirements(self) -> None:
        self.replace("docs/srd.md", "It chats. | planned | |", "It chats. | done | `scripts/run` |")
        self.assert_red("CLI: roadmap has ('Command line', 'partial'), docs/srd.md has ")

    def test_srd_lacks_a_capability(self) -> None:
        self.replace("docs/srd.md", "## GGUF: ", "## GGML: ")
        self.assert_red("GGUF of the roadmap has no requirements", "GGML of docs/srd.md is missing")

    def test_a_requirement_done_that_nothing_shows(self) -> None:
        self.replace("docs/srd.md", "| done | `tests/format` |", "| done | |")
        self.assert_red("R-GGUF-01 is done, but nothing shows it")

    def test_requirement_ids(self) -> None:
        self.replace("docs/srd.md", "R-CLI-02", "R-CLI-01")
        self.assert_red("'R-CLI-01' is no new id of the form R-CLI-01")

    def test_an_unknown_status(self) -> None:
        self.replace("docs/roadmap.md", "| planned |", "| soon |")
        self.assert_red("GPU: 'soon' is none of")

    def test_a_gap_that_contradicts_the_status(self) -> None:
        self.replace("docs/roadmap.md", "| done | - |", "| done | some |")
        self.assert_red("GGUF is done, but its gap is 'some'")

    def test_an_unknown_room(self) -> None:
        self.replace("docs/roadmap.md", "| format |", "| attic |")
        self.assert_red("GGUF: 'attic' is no room and no folder")

    def test_a_room_without_a_readme(self) -> None:
        self.write("src/text/bpe.h")
        self.assert_red("src/text/README.md: missing")

    def test_a_long_readme_of_a_room(self) -> None:
        self.write("src/format/README.md", "line\n" * 61)
        self.assert_red("src/format/README.md: 61 lines, at most 60")

    def test_a_claim_that_is_not_there(self) -> None:
        self.write("docs/speed.md", "Fast, as claims/decode_speed shows.\n")
        self.assert_red("docs/speed.md: claims/decode_speed is no executable")

    def test_a_link_to_a_file_that_is_not_there(self) -> None:
        self.write("docs/more.md", "[there](gone.md)\n")
        self.assert_red("docs/more.md: the link to gone.md leads nowhere")

    def test_a_link_to_a_heading_that_is_not_there(self) -> None:
        self.write(
            "docs/more.md", "[there](srd.md#nowhere) [here](#more-of-it)\n\n# More of `it`\n"
        )
        self.assert_red("docs/more.md: srd.md has no heading for #nowhere")
        self.write("docs/more.md", "[here](#more-of-it)\n\n# More of `it`\n")
        self.assert_green()

    def test_a_path_that_is_not_there(self) -> None:
        self.write("docs/more.md", "Read `src/format/gone.h`.\n")
        self.assert_red("docs/more.md: `src/format/gone.h` does not exist")

    def test_the_folders_beside_the_sources_count(self) -> None:
        for path in (
            "bench/gone",
            "training/gone.py",
            "deploy/gone",
            "schemas/gone.json",
            "models/gone",
        ):
            self.write("docs/more.md", f"Read `{path}`.\n")
            self.assert_red(f"docs/more.md: `{path}` does not exist")
        self.write("docs/more.md", "Runs live in `training/runs/`, which git ignores.\n")
        self.assert_green()

    def test_a_document_that_the_list_lacks(self) -> None:
        self.write("docs/README.md", "- [srd](srd.md)\n")
        self.assert_red("docs/README.md: roadmap.md is not listed")
        self.write("docs/README.md", "- [srd](srd.md), [roadmap](roadmap.md#roadmap)\n")
        self.assert_green()

    def test_history_may_name_what_is_gone(self) -> None:
        self.write("CHANGELOG.md", "Removed `src/format/gone.h`.\n")
        self.assert_green()


if __name__ == "__main__":
    unittest.main()
