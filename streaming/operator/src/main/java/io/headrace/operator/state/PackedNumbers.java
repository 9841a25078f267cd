package io.headrace.operator.state;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Numbers one after the other, as the online store keeps them: what kind they are, as Python's
 * {@code memoryview} names it, then each with its least byte first. Integers are as narrow as they
 * can be.
 */
final class PackedNumbers {
    /** Kinds of integers, the narrowest first: without a sign, and with one. */
    private static final char[] UNSIGNED = {'B', 'H', 'I'};

    private static final char[] SIGNED = {'b', 'h', 'i'};
    private static final char LONG = 'q';
    private static final char DOUBLE = 'd';
    private static final char TRUTH = '?';

    private PackedNumbers() {}

    /** Integers of up to 64 bits. */
    static byte[] integers(long[] values) {
        long least = values.length == 0 ? 0 : values[0];
        long greatest = least;
        for (long value : values) {
            least = Math.min(least, value);
            greatest = Math.max(greatest, value);
        }
        int size = Long.BYTES;
        char kind = LONG;
        for (int at = 0; at < UNSIGNED.length && kind == LONG; at++) {
            int bits = 8 << at;
            boolean fits =
                    least >= 0
                            ? greatest < 1L << bits
                            : least >= -(1L << bits - 1) && greatest < 1L << bits - 1;
            if (fits) {
                kind = (least >= 0 ? UNSIGNED : SIGNED)[at];
                size = bits / 8;
            }
        }
        ByteBuffer packed = begin(kind, values.length * size);
        for (long value : values) {
            switch (size) {
                case Byte.BYTES -> packed.put((byte) value);
                case Short.BYTES -> packed.putShort((short) value);
                case Integer.BYTES -> packed.putInt((int) value);
                default -> packed.putLong(value);
            }
        }
        return packed.array();
    }

    /** Numbers or truths of one type; null if there are none, or not only such. */
    static byte[] column(Object[] values) {
        if (values.length == 0) {
            return null;
        }
        if (all(values, Long.class)) {
            long[] numbers = new long[values.length];
            for (int at = 0; at < values.length; at++) {
                numbers[at] = (Long) values[at];
            }
            return integers(numbers);
        }
        if (all(values, Double.class)) {
            ByteBuffer packed = begin(DOUBLE, values.length * Double.BYTES);
            for (Object value : values) {
                packed.putDouble((Double) value);
            }
            return packed.array();
        }
        if (all(values, Boolean.class)) {
            ByteBuffer packed = begin(TRUTH, values.length);
            for (Object value : values) {
                packed.put((byte) ((Boolean) value ? 1 : 0));
            }
            return packed.array();
        }
        return null;
    }

    private static boolean all(Object[] values, Class<?> type) {
        for (Object value : values) {
            if (!type.isInstance(value)) {
                return false;
            }
        }
        return true;
    }

    private static ByteBuffer begin(char kind, int size) {
        return ByteBuffer.allocate(size + 1).order(ByteOrder.LITTLE_ENDIAN).put((byte) kind);
    }
}
