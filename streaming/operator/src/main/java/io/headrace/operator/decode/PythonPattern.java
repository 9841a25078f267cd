package io.headrace.operator.decode;

import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Compiles patterns of the contracts, which are Python's, where Java reads them differently. */
final class PythonPattern {
    // As Python's: `$` before a last newline alone, classes of all of Unicode.
    private static final int FLAGS = Pattern.UNIX_LINES | Pattern.UNICODE_CHARACTER_CLASS;
    private static final String WORD = "\\p{L}\\p{N}_";
    private static final String SPACE =
            "\\x09-\\x0d\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a"
                    + "\\u2028\\u2029\\u202f\\u205f\\u3000";
    private static final String AHEAD = "[" + WORD + "]";
    // Java looks behind by UTF-16 units: what may be two characters may also be one of two units.
    private static final String BEHIND = AHEAD + AHEAD + "?";
    private static final String AT_EDGE =
            "(?:(?<=" + BEHIND + ")(?!" + AHEAD + ")|(?<!" + BEHIND + ")(?=" + AHEAD + "))";
    private static final String OFF_EDGE =
            "(?:(?<=" + BEHIND + ")(?=" + AHEAD + ")|(?<!" + BEHIND + ")(?!" + AHEAD + "))";

    private PythonPattern() {}

    static Pattern compile(String python) {
        StringBuilder java = new StringBuilder();
        int classStart = -1;
        for (int i = 0; i < python.length(); i++) {
            char one = python.charAt(i);
            boolean inClass = classStart >= 0;
            if (one == '\\' && i + 1 < python.length()) {
                i++;
                java.append(inClass ? inClass(python.charAt(i)) : outside(python.charAt(i)));
            } else if (!inClass && python.startsWith("(?P<", i)) {
                // What a group is called doesn't matter, and Java allows fewer names.
                java.append('(');
                i = python.indexOf('>', i);
            } else if (!inClass && one == '[') {
                java.append(one);
                if (python.startsWith("^", i + 1)) {
                    java.append('^');
                    i++;
                }
                classStart = i + 1;
            } else if (inClass && one == ']' && i > classStart) {
                java.append(one);
                classStart = -1;
            } else if (inClass && "[]&^".indexOf(one) >= 0) {
                java.append('\\').append(one);
            } else {
                java.append(one);
            }
        }
        try {
            return Pattern.compile(java.toString(), FLAGS);
        } catch (PatternSyntaxException error) {
            throw new IllegalArgumentException(
                    "the pattern " + python + " can't be read by the stream: " + error.getDescription(),
                    error);
        }
    }

    private static String outside(char letter) {
        return switch (letter) {
            case 'w' -> "[" + WORD + "]";
            case 'W' -> "[^" + WORD + "]";
            case 's' -> "[" + SPACE + "]";
            case 'S' -> "[^" + SPACE + "]";
            case 'b' -> AT_EDGE;
            case 'B' -> OFF_EDGE;
            case 'Z' -> "\\z";
            case 'v' -> "\\x0b";
            default -> "\\" + letter;
        };
    }

    private static String inClass(char letter) {
        return switch (letter) {
            case 'w' -> WORD;
            case 'W' -> "[^" + WORD + "]";
            case 's' -> SPACE;
            case 'S' -> "[^" + SPACE + "]";
            case 'b' -> "\\x08";
            case 'v' -> "\\x0b";
            default -> "\\" + letter;
        };
    }
}
