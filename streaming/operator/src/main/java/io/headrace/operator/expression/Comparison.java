package io.headrace.operator.expression;

/** Compares two values of one kind; a double and an int64 as doubles. */
enum Comparison {
    EQUAL,
    NOT_EQUAL,
    LESS,
    LESS_OR_EQUAL,
    GREATER,
    GREATER_OR_EQUAL;

    static Comparison of(String sign) {
        return switch (sign) {
            case "=" -> EQUAL;
            case "<>" -> NOT_EQUAL;
            case "<" -> LESS;
            case "<=" -> LESS_OR_EQUAL;
            case ">" -> GREATER;
            case ">=" -> GREATER_OR_EQUAL;
            default -> throw new IllegalArgumentException("the plan has a comparison " + sign);
        };
    }

    boolean holds(Object left, Object right) {
        int order = order(left, right);
        return switch (this) {
            case EQUAL -> order == 0;
            case NOT_EQUAL -> order != 0;
            case LESS -> order < 0;
            case LESS_OR_EQUAL -> order <= 0;
            case GREATER -> order > 0;
            case GREATER_OR_EQUAL -> order >= 0;
        };
    }

    private static int order(Object left, Object right) {
        if (left instanceof String text) {
            return byCodePoints(text, (String) right);
        }
        if (left instanceof Boolean truth) {
            return Boolean.compare(truth, (Boolean) right);
        }
        if (left instanceof Double || right instanceof Double) {
            double a = ((Number) left).doubleValue();
            double b = ((Number) right).doubleValue();
            // Not Double.compare, for which -0.0 is below 0.0.
            return a < b ? -1 : a > b ? 1 : 0;
        }
        return Long.compare((Long) left, (Long) right);
    }

    // Java compares halves of surrogate pairs, which would put U+1F600 before U+FF5E.
    private static int byCodePoints(String left, String right) {
        int length = Math.min(left.length(), right.length());
        for (int i = 0; i < length; i++) {
            char a = left.charAt(i);
            char b = right.charAt(i);
            if (a != b) {
                boolean pair = Character.isSurrogate(a);
                return pair == Character.isSurrogate(b) ? Character.compare(a, b) : pair ? 1 : -1;
            }
        }
        return Integer.compare(left.length(), right.length());
    }
}
