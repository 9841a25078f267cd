package io.headrace.operator.state;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes in which small numbers take little room: seven bits a byte, the lowest first. */
final class PackedWriter {
    private byte[] bytes;
    private int size;

    PackedWriter(int capacity) {
        bytes = new byte[capacity];
    }

    /** A number that is hardly ever below zero. */
    void natural(long number) {
        reserve(10);
        long left = number;
        while ((left & ~0x7FL) != 0) {
            bytes[size++] = (byte) (left | 0x80);
            left >>>= 7;
        }
        bytes[size++] = (byte) left;
    }

    /** A number of either sign. */
    void integer(long number) {
        natural(number << 1 ^ number >> 63);
    }

    /** All 64 bits. */
    void bits(long number) {
        reserve(Long.BYTES);
        for (int shift = 0; shift < Long.SIZE; shift += 8) {
            bytes[size++] = (byte) (number >>> shift);
        }
    }

    void binary(byte[] content) {
        natural(content.length);
        reserve(content.length);
        System.arraycopy(content, 0, bytes, size, content.length);
        size += content.length;
    }

    void text(String text) {
        binary(text.getBytes(StandardCharsets.UTF_8));
    }

    byte[] written() {
        return Arrays.copyOf(bytes, size);
    }

    private void reserve(int more) {
        if (size + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(size + more, 2 * bytes.length));
        }
    }
}
