package io.headrace.operator.decode;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Whether bytes are text in UTF-8, which JSON has to be; parsers guess at other encodings. */
final class Utf8 {
    private Utf8() {}

    /** Whether the bytes are UTF-8 without a mark in front; none at all are not. */
    static boolean isText(byte[] raw) {
        if (raw.length == 0 || raw[0] <= 0) {
            return false;
        }
        for (byte one : raw) {
            // Zero is what text in UTF-16 and UTF-32 gives away.
            if (one <= 0) {
                return one != 0 && decodes(raw);
            }
        }
        return true;
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
