package io.headrace.operator.packed;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes in which small numbers take little room: seven bits a byte, the lowest first. */
public final class PackedWriter {
    static final int NULL = 0;
    static final int LONG = 1;
    static final int DOUBLE = 2;
    static final int BOOLEAN = 3;
    static final int STRING = 4;

    private byte[] bytes;
    private int size;

    /** Nothing, with room for some bytes. */
    public PackedWriter(int capacity) {
        bytes = new byte[capacity];
    }

    /** A number that is hardly ever below zero. */
    public void natural(long number) {
        reserve(10);
        long left = number;
        while ((left & ~0x7FL) != 0) {
            bytes[size++] = (byte) (left | 0x80);
            left >>>= 7;
        }
        bytes[size++] = (byte) left;
    }

    /** A number of either sign. */
    public void integer(long number) {
        natural(number << 1 ^ number >> 63);
    }

    /** All 64 bits. */
    public void bits(long number) {
        reserve(Long.BYTES);
        for (int shift = 0; shift < Long.SIZE; shift += 8) {
            bytes[size++] = (byte) (number >>> shift);
        }
    }

    /** Bytes, after their number. */
    public void binary(byte[] content) {
        natural(content.length);
        reserve(content.length);
        System.arraycopy(content, 0, bytes, size, content.length);
        size += content.length;
    }

    /** A text, as UTF-8. */
    public void text(String text) {
        binary(text.getBytes(StandardCharsets.UTF_8));
    }

    /** Whether something is so. */
    public void truth(boolean truth) {
        natural(truth ? 1 : 0);
    }

    /** An integer of any size: without the zeros that its bits end with, which are counted. */
    public void wide(BigInteger number) {
        int zeros = number.signum() == 0 ? 0 : number.getLowestSetBit();
        natural(zeros);
        binary(number.shiftRight(zeros).toByteArray());
    }

    /** Null, a Long, a Double, a Boolean or a String: a number for the type, then the value. */
    public void value(Object value) {
        if (value == null) {
            natural(NULL);
        } else if (value instanceof Long number) {
            natural(LONG);
            integer(number);
        } else if (value instanceof Double number) {
            natural(DOUBLE);
            bits(Double.doubleToRawLongBits(number));
        } else if (value instanceof Boolean truth) {
            natural(BOOLEAN);
            truth(truth);
        } else {
            natural(STRING);
            text((String) value);
        }
    }

    /** All that was written so far. */
    public byte[] written() {
        return Arrays.copyOf(bytes, size);
    }

    private void reserve(int more) {
        if (size + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(size + more, 2 * bytes.length));
        }
    }
}
