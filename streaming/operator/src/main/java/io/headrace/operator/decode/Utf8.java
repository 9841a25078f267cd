package io.headrace.operator.decode;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Whether bytes are text in UTF-8, which JSON has to be; parsers guess at other encodings. */
final class Utf8 {
    /** Eight bytes of an array at a time. */
    static final VarHandle WORDS =
            MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    /** A one in each byte. */
    static final long ONES = 0x0101_0101_0101_0101L;

    private Utf8() {}

    /** Whether the bytes are UTF-8 without a mark in front; none at all are not. */
    static boolean isText(byte[] raw) {
        if (raw.length == 0 || raw[0] <= 0) {
            return false;
        }
        for (int i = firstUnusual(raw); i < raw.length; i++) {
            // Zero is what text in UTF-16 and UTF-32 gives away.
            if (raw[i] <= 0) {
                return raw[i] != 0 && decodes(raw);
            }
        }
        return true;
    }

    /** Up to where, in whole words, all bytes are those of ASCII but zero. */
    private static int firstUnusual(byte[] raw) {
        int i = 0;
        for (; i + Long.BYTES <= raw.length; i += Long.BYTES) {
            long word = (long) WORDS.get(raw, i);
            // Taking one away sets the highest bit of a zero.
            if (((word | word - ONES) & ONES << 7) != 0) {
                break;
            }
        }
        return i;
    }

    private static boolean decodes(byte[] raw) {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(raw));
            return true;
        } catch (CharacterCodingException error) {
            return false;
        }
    }
}
