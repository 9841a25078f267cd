package io.headrace.operator.state;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Reads what a `PackedWriter` wrote. */
final class PackedReader {
    private final byte[] bytes;
    private int at;

    PackedReader(byte[] bytes) {
        this.bytes = bytes;
    }

    long natural() {
        long number = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes[at++];
            number |= (next & 0x7FL) << shift;
            if (next >= 0) {
                return number;
            }
        }
    }

    long integer() {
        long folded = natural();
        return folded >>> 1 ^ -(folded & 1);
    }

    long bits() {
        long number = 0;
        for (int shift = 0; shift < Long.SIZE; shift += 8) {
            number |= (bytes[at++] & 0xFFL) << shift;
        }
        return number;
    }

    byte[] binary() {
        int length = (int) natural();
        at += length;
        return Arrays.copyOfRange(bytes, at - length, at);
    }

    String text() {
        int length = (int) natural();
        at += length;
        return new String(bytes, at - length, length, StandardCharsets.UTF_8);
    }
}
