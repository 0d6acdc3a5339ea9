"""What handlers print, in the log."""

from support import Runtime, eventually


def test_a_line_of_megabytes_is_one_short_line_of_the_log():
    with Runtime("late.prints_long") as runtime:
        assert runtime.control().worker().ask(1) == ["printed"]
        eventually(lambda: "after" in runtime.log())
        by_python, past_it, after = [line for line in runtime.lines() if line.get("stream") == "stdout"]
        assert by_python["message"] == "x" * 8192 + f" … ({3_000_000 - 8192} bytes more)"
        assert by_python["id"] == "e-1"
        assert past_it["message"].startswith("r" * 8192 + " … (29")
        assert (after["message"], after["id"]) == ("after", "e-1")
