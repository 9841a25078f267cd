package io.headrace.operator.packed;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Reads what a `PackedWriter` wrote. */
public final class PackedReader {
    private final byte[] bytes;
    private int at;

    /** From the first byte on. */
    public PackedReader(byte[] bytes) {
        this.bytes = bytes;
    }

    /** A number that is hardly ever below zero. */
    public long natural() {
        long number = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes[at++];
            number |= (next & 0x7FL) << shift;
            if (next >= 0) {
                return number;
            }
        }
    }

    /** A number of either sign. */
    public long integer() {
        long folded = natural();
        return folded >>> 1 ^ -(folded & 1);
    }

    /** All 64 bits. */
    public long bits() {
        long number = 0;
        for (int shift = 0; shift < Long.SIZE; shift += 8) {
            number |= (bytes[at++] & 0xFFL) << shift;
        }
        return number;
    }

    /** Bytes. */
    public byte[] binary() {
        int length = count();
        at += length;
        return Arrays.copyOfRange(bytes, at - length, at);
    }

    /** A text. */
    public String text() {
        int length = count();
        at += length;
        return new String(bytes, at - length, length, StandardCharsets.UTF_8);
    }

    /** How many of something follow. */
    public int count() {
        return (int) natural();
    }

    /** Whether something is so. */
    public boolean truth() {
        return natural() != 0;
    }

    /** An integer of any size. */
    public BigInteger wide() {
        int zeros = count();
        return new BigInteger(binary()).shiftLeft(zeros);
    }

    /** Null, a Long, a Double, a Boolean or a String. */
    public Object value() {
        int type = count();
        return switch (type) {
            case PackedWriter.NULL -> null;
            case PackedWriter.LONG -> integer();
            case PackedWriter.DOUBLE -> Double.longBitsToDouble(bits());
            case PackedWriter.BOOLEAN -> truth();
            case PackedWriter.STRING -> text();
            default -> throw new IllegalArgumentException("state holds a value of type " + type);
        };
    }
}
