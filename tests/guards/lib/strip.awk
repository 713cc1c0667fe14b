# Takes comments out of C and empties its string and character literals; every
# line stays on its line. Output: "FILE:LINE:" and what is left of the line.
#   awk -f strip.awk FILE...

FNR == 1 { in_comment = 0 }

{
    text = $0
    out = ""
    while (text != "") {
        if (in_comment) {
            at = index(text, "*/")
            if (!at) break
            text = substr(text, at + 2)
            in_comment = 0
            continue
        }
        c = substr(text, 1, 1)
        if (substr(text, 1, 2) == "/*") {
            in_comment = 1
            text = substr(text, 3)
        }
        else if (substr(text, 1, 2) == "//") {
            text = ""
        }
        else if (c == "\"" || c == "'") {
            out = out c c
            text = substr(text, 2)
            while (text != "" && substr(text, 1, 1) != c) {
                text = substr(text, substr(text, 1, 1) == "\\" ? 3 : 2)
            }
            text = substr(text, 2)
        }
        else {
            out = out c
            text = substr(text, 2)
        }
    }
    printf "%s:%d:%s\n", FILENAME, FNR, out
}
