package io.headrace.operator.decode;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ShownTest {
    @ParameterizedTest
    @CsvSource({
        "1.0, 1.0",
        "-0.0, -0.0",
        "0.1, 0.1",
        "2.0E-3, 0.002",
        "1.0E-4, 0.0001",
        "1.0E-5, 1e-05",
        "-1.5E-7, -1.5e-07",
        "123456.5, 123456.5",
        "1.0E15, 1000000000000000.0",
        "1.0E16, 1e+16",
        "2.0E22, 2e+22",
        "4.9E-324, 5e-324",
        "1.7976931348623157E308, 1.7976931348623157e+308",
        "NaN, nan",
        "-Infinity, -inf"
    })
    void doublesHaveTheFewestDigits(double value, String shown) {
        assertEquals(shown, Shown.real(value));
    }

    @Test
    void whatCantBeSeenIsEscaped() {
        assertEquals(
                "'a\\tb\\x00\\u2028\\U0001d173 ß😀'",
                Shown.text("a\tb\0\u2028\ud834\udd73 ß😀"));
        assertEquals("\"it's\"", Shown.text("it's"));
        assertEquals("'\\'\"'", Shown.text("'\""));
    }

    @Test
    void longTextsAreCut() {
        assertEquals("'" + "x".repeat(58) + "'", Shown.text("x".repeat(58)));
        assertEquals("'" + "x".repeat(59) + "…", Shown.text("x".repeat(59)));
        assertEquals("'" + "x".repeat(59) + "…", Shown.text("x".repeat(1000)));
    }
}
