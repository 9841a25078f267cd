package io.headrace.operator.decode;

/** Finds escapes of half a surrogate pair, which stand for no text; parsers let them through. */
final class Escapes {
    private static final int LENGTH = 6;
    private static final long BACKSLASHES = Utf8.ONES * '\\';

    private Escapes() {}

    /** Place of the first escape of a half without the other; -1 where there is none. */
    static int firstUnpaired(byte[] json) {
        for (int i = firstEscape(json); i < json.length - 1; i++) {
            if (json[i] != '\\') {
                continue;
            }
            int unit = unit(json, i);
            if (unit < 0 || !Character.isSurrogate((char) unit)) {
                i++;
                continue;
            }
            int next = unit(json, i + LENGTH);
            if (next < 0 || !Character.isSurrogatePair((char) unit, (char) next)) {
                return i;
            }
            i += 2 * LENGTH - 1;
        }
        return -1;
    }

    /** Up to where, in whole words, there is no backslash. */
    private static int firstEscape(byte[] json) {
        int i = 0;
        for (; i + Long.BYTES <= json.length; i += Long.BYTES) {
            long zeroed = (long) Utf8.WORDS.get(json, i) ^ BACKSLASHES;
            // The highest bit of a byte that is zero, and sometimes of one above it.
            if ((zeroed - Utf8.ONES & ~zeroed & Utf8.ONES << 7) != 0) {
                break;
            }
        }
        return i;
    }

    /** The UTF-16 unit of the escape at a place; -1 where there is none of that kind. */
    private static int unit(byte[] json, int place) {
        if (place + LENGTH > json.length || json[place] != '\\' || json[place + 1] != 'u') {
            return -1;
        }
        int unit = 0;
        for (int i = place + 2; i < place + LENGTH; i++) {
            int digit = Character.digit(json[i], 16);
            if (digit < 0) {
                return -1;
            }
            unit = unit << 4 | digit;
        }
        return unit;
    }
}
