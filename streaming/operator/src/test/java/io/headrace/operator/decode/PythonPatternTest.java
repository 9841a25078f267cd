package io.headrace.operator.decode;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PythonPatternTest {
    @ParameterizedTest
    @CsvSource(
            quoteCharacter = '"',
            value = {
                "^[A-Z]{3}$, EUR, true",
                "^[A-Z]{3}$, \"EUR\n\", true",
                "^[A-Z]{3}\\Z, \"EUR\n\", false",
                "^\\w$, ½, true",
                "^\\w$, ‿, false",
                "^[\\w-]$, -, true",
                "^[^\\W\\d]$, 5, false",
                "\\s, \"a\u001cb\", true",
                "\\bab\\b, \"x ab.\", true",
                "\\bab\\b, \"xab\", false",
                "\\bab\\b, \"𐐀ab\", false",
                "a\\B, \"a𐐀\", true",
                "\\Ba, \"𐐀a\", true",
                "a\\vb, \"a\nb\", false",
                "(?P<one_of>a|b)\\1, aa, true",
                "^[]a[]+$, ][a, true",
                "^[a&&b]+$, &, true",
                "^\\d$, ٣, true"
            })
    void patternsFindWhatTheyFindInPython(String pattern, String text, boolean found) {
        assertEquals(found, PythonPattern.compile(pattern).matcher(text).find());
    }
}
