package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class SeenKeysTest {
    private static final byte[] A = {1};
    private static final byte[] B = {2};

    @Test
    void aKeyIsNewOnceWhateverItsTime() {
        SeenKeys keys = new SeenKeys();
        assertTrue(keys.add(100, A, 50));
        assertFalse(keys.add(100, A, 50));
        assertFalse(keys.add(120, A, 50));
        assertTrue(keys.add(110, B, 50));
    }

    @Test
    void keysBeyondTheHorizonAreForgotten() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50);
        keys.add(151, B, 50);
        assertEquals(1, keys.size());
        assertTrue(keys.add(151, A, 50));
    }

    @Test
    void aKeyThatWasTakenBackIsNew() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50);
        keys.remove(100, A);
        assertTrue(keys.add(100, A, 50));
    }
}
