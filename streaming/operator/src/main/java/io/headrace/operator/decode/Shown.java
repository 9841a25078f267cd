package io.headrace.operator.decode;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;

/** Spells refused values in messages, as the contracts do in Python. */
final class Shown {
    private static final int MOST_CHARACTERS = 60;
    // The first 400 digits already overflow every column.
    private static final int MOST_DIGITS = 400;
    private static final int MOST_BITS = 128;
    private static final int LONGEST_DOUBLE = 17;

    private Shown() {}

    /** A text in quotes, with escapes for what can't be seen. */
    static String text(String value) {
        char quote = value.indexOf('\'') >= 0 && value.indexOf('"') < 0 ? '"' : '\'';
        StringBuilder shown = new StringBuilder().append(quote);
        value.codePoints().limit(MOST_CHARACTERS).forEach(one -> append(shown, one, quote));
        // The closing quote is cut off with the rest.
        int length = value.codePointCount(0, value.length());
        return shortened(length > MOST_CHARACTERS ? shown + " " : shown.append(quote).toString());
    }

    /** An integer by its digits. */
    static String whole(String digits) {
        return shortened(parsed(digits).toString());
    }

    /** An integer that doesn't fit into 64 bits. */
    static String tooLong(String digits) {
        BigInteger value = parsed(digits);
        return value.bitLength() <= MOST_BITS
                ? value.toString()
                : "an integer of more than " + MOST_BITS + " bits";
    }

    /** A bound of a column. */
    static String bound(Number value) {
        return value instanceof Double number ? real(number) : value.toString();
    }

    /** A double by the fewest digits that give it back. */
    static String real(double value) {
        if (Double.isNaN(value)) {
            return "nan";
        }
        String sign = Math.copySign(1.0, value) < 0 ? "-" : "";
        double size = Math.abs(value);
        if (Double.isInfinite(size)) {
            return sign + "inf";
        }
        if (size == 0.0) {
            return sign + "0.0";
        }
        BigDecimal shortest = shortest(size);
        int exponent = shortest.precision() - shortest.scale() - 1;
        if (-4 <= exponent && exponent < 16) {
            return sign + (shortest.scale() > 0 ? shortest : shortest.setScale(1)).toPlainString();
        }
        String digits = shortest.unscaledValue().toString();
        String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
        String power = (exponent < 0 ? "-" : "+") + (Math.abs(exponent) < 10 ? "0" : "");
        return sign + digits.charAt(0) + fraction + "e" + power + Math.abs(exponent);
    }

    // Not Double.toString, which gives more digits than needed before Java 19.
    private static BigDecimal shortest(double size) {
        BigDecimal exact = new BigDecimal(size);
        for (int digits = 1; digits < LONGEST_DOUBLE; digits++) {
            BigDecimal rounded = exact.round(new MathContext(digits));
            if (rounded.doubleValue() == size) {
                return rounded.stripTrailingZeros();
            }
        }
        return exact.round(new MathContext(LONGEST_DOUBLE)).stripTrailingZeros();
    }

    private static BigInteger parsed(String digits) {
        return new BigInteger(digits.substring(0, Math.min(digits.length(), MOST_DIGITS)));
    }

    private static String shortened(String text) {
        return text.codePointCount(0, text.length()) <= MOST_CHARACTERS
                ? text
                : text.substring(0, text.offsetByCodePoints(0, MOST_CHARACTERS)) + "…";
    }

    private static void append(StringBuilder shown, int one, char quote) {
        switch (one) {
            case '\n' -> shown.append("\\n");
            case '\r' -> shown.append("\\r");
            case '\t' -> shown.append("\\t");
            default -> {
                if (one == quote || one == '\\') {
                    shown.append('\\').append((char) one);
                } else if (one == ' ' || isVisible(one)) {
                    shown.appendCodePoint(one);
                } else if (one < 0x100) {
                    shown.append(String.format("\\x%02x", one));
                } else {
                    shown.append(String.format(one < 0x10000 ? "\\u%04x" : "\\U%08x", one));
                }
            }
        }
    }

    private static boolean isVisible(int one) {
        return switch (Character.getType(one)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR,
                    Character.SPACE_SEPARATOR ->
                    false;
            default -> true;
        };
    }
}
