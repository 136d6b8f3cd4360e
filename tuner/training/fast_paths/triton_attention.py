"""The kernels of `silu_attention`, in Triton's language, which looks like Python. Import it only to run them.

A program works on a tile: some places of a session, and some places before them. A tile of keys without a
token is left out. So sessions that are shorter than the padded shape take less time.
"""

import triton
import triton.language as tl

__all__: list[str] = []  # `silu_attention` looks the kernels up by name, when they are to run


@triton.jit
def _rows(cells, session, place, length):
    """Return the row of each place; -1 for none."""
    return tl.load(cells + session * length + place, mask=place < length, other=-1)


@triton.jit
def _tile(values, row, stride, head, width, WIDTH: tl.constexpr):
    """Return the values of a head in some rows, and 0 where there is no row."""
    factor = tl.arange(0, WIDTH)
    at = row[:, None] * stride + head * width + factor[None, :]
    return tl.load(values + at, mask=(row[:, None] >= 0) & (factor[None, :] < width), other=0.0)


@triton.jit
def _put(values, tile, row, stride, head, width, WIDTH: tl.constexpr):
    """Write the values of a head into some rows."""
    factor = tl.arange(0, WIDTH)
    at = row[:, None] * stride + head * width + factor[None, :]
    is_value = (row[:, None] >= 0) & (factor[None, :] < width)
    tl.store(values + at, tile.to(values.dtype.element_ty), mask=is_value)


@triton.jit
def _scores(
    q, k, bias, bias_stride, session, place, other, length, HAS_BIAS: tl.constexpr, PRECISION: tl.constexpr
):
    """Return the scores of a tile before silu."""
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    if HAS_BIAS:
        at = session * bias_stride + place[:, None] * length + other[None, :]
        scores += tl.load(bias + at, mask=(place[:, None] < length) & (other[None, :] < length), other=0.0)
    return scores


@triton.jit
def _sees(row, from_row, place, other):
    """Whether places see others: tokens see themselves and earlier ones."""
    return (row[:, None] >= 0) & (from_row[None, :] >= 0) & (other[None, :] <= place[:, None])


@triton.jit
def _slope(scores):
    """Return the derivative of silu."""
    share = tl.sigmoid(scores)
    return share * (1 + scores * (1 - share))


@triton.jit
def attended(
    q,
    k,
    v,
    bias,
    cells,
    out,
    q_stride,
    k_stride,
    v_stride,
    bias_stride,
    n_heads,
    q_width,
    v_width,
    length,
    scale,
    HAS_BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
    PLACES: tl.constexpr,
    Q_WIDTH: tl.constexpr,
    V_WIDTH: tl.constexpr,
):
    """Compute the output of attention; see `silu_attention.silu_attention`."""
    session, head = tl.program_id(0).to(tl.int64), tl.program_id(2)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    row = _rows(cells, session, place, length)
    if tl.max(row, 0) >= 0:
        mine = _tile(q, row, q_stride, head, q_width, Q_WIDTH)
        total = tl.zeros((PLACES, V_WIDTH), dtype=tl.float32)
        for start in range(0, (tl.program_id(1) + 1) * PLACES, PLACES):
            other = start + tl.arange(0, PLACES)
            from_row = _rows(cells, session, other, length)
            if tl.max(from_row, 0) >= 0:
                theirs = _tile(k, from_row, k_stride, head, q_width, Q_WIDTH)
                scores = _scores(
                    mine, theirs, bias, bias_stride, session, place, other, length, HAS_BIAS, PRECISION
                )
                weights = tl.where(
                    _sees(row, from_row, place, other), scores * tl.sigmoid(scores) * scale, 0.0
                )
                values = _tile(v, from_row, v_stride, head, v_width, V_WIDTH)
                total += tl.dot(weights.to(values.dtype), values, input_precision=PRECISION)
        _put(out, total, row, n_heads * v_width, head, v_width, V_WIDTH)


@triton.jit
def query_gradient(
    q,
    k,
    v,
    bias,
    cells,
    grad,
    out,
    q_stride,
    k_stride,
    v_stride,
    bias_stride,
    n_heads,
    q_width,
    v_width,
    length,
    scale,
    HAS_BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
    PLACES: tl.constexpr,
    Q_WIDTH: tl.constexpr,
    V_WIDTH: tl.constexpr,
):
    """Compute the gradient of the queries; see `silu_attention.silu_attention`."""
    session, head = tl.program_id(0).to(tl.int64), tl.program_id(2)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    row = _rows(cells, session, place, length)
    if tl.max(row, 0) >= 0:
        mine = _tile(q, row, q_stride, head, q_width, Q_WIDTH)
        by_out = _tile(grad, row, n_heads * v_width, head, v_width, V_WIDTH)
        total = tl.zeros((PLACES, Q_WIDTH), dtype=tl.float32)
        for start in range(0, (tl.program_id(1) + 1) * PLACES, PLACES):
            other = start + tl.arange(0, PLACES)
            from_row = _rows(cells, session, other, length)
            if tl.max(from_row, 0) >= 0:
                theirs = _tile(k, from_row, k_stride, head, q_width, Q_WIDTH)
                scores = _scores(
                    mine, theirs, bias, bias_stride, session, place, other, length, HAS_BIAS, PRECISION
                )
                values = _tile(v, from_row, v_stride, head, v_width, V_WIDTH)
                by_weights = tl.dot(by_out, tl.trans(values), input_precision=PRECISION) * scale
                by_scores = tl.where(_sees(row, from_row, place, other), by_weights * _slope(scores), 0.0)
                total += tl.dot(by_scores.to(theirs.dtype), theirs, input_precision=PRECISION)
        _put(out, total, row, n_heads * q_width, head, q_width, Q_WIDTH)


@triton.jit
def key_value_gradient(
    q,
    k,
    v,
    bias,
    cells,
    grad,
    by_keys,
    by_values,
    q_stride,
    k_stride,
    v_stride,
    bias_stride,
    n_heads,
    q_width,
    v_width,
    length,
    scale,
    HAS_BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
    PLACES: tl.constexpr,
    Q_WIDTH: tl.constexpr,
    V_WIDTH: tl.constexpr,
):
    """Compute the gradients of the keys and values; see `silu_attention.silu_attention`."""
    session, head = tl.program_id(0).to(tl.int64), tl.program_id(2)
    other = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    from_row = _rows(cells, session, other, length)
    if tl.max(from_row, 0) >= 0:
        theirs = _tile(k, from_row, k_stride, head, q_width, Q_WIDTH)
        values = _tile(v, from_row, v_stride, head, v_width, V_WIDTH)
        of_keys = tl.zeros((PLACES, Q_WIDTH), dtype=tl.float32)
        of_values = tl.zeros((PLACES, V_WIDTH), dtype=tl.float32)
        for start in range(tl.program_id(1) * PLACES, length, PLACES):
            place = start + tl.arange(0, PLACES)
            row = _rows(cells, session, place, length)
            if tl.max(row, 0) >= 0:
                mine = _tile(q, row, q_stride, head, q_width, Q_WIDTH)
                by_out = _tile(grad, row, n_heads * v_width, head, v_width, V_WIDTH)
                scores = _scores(
                    mine, theirs, bias, bias_stride, session, place, other, length, HAS_BIAS, PRECISION
                )
                sees = _sees(row, from_row, place, other)
                weights = tl.where(sees, scores * tl.sigmoid(scores) * scale, 0.0)
                of_values += tl.dot(tl.trans(weights.to(by_out.dtype)), by_out, input_precision=PRECISION)
                by_weights = tl.dot(by_out, tl.trans(values), input_precision=PRECISION) * scale
                by_scores = tl.where(sees, by_weights * _slope(scores), 0.0)
                of_keys += tl.dot(tl.trans(by_scores.to(mine.dtype)), mine, input_precision=PRECISION)
        _put(by_keys, of_keys, from_row, n_heads * q_width, head, q_width, Q_WIDTH)
        _put(by_values, of_values, from_row, n_heads * v_width, head, v_width, V_WIDTH)


@triton.jit
def bias_gradient(
    q,
    k,
    v,
    bias,
    cells,
    grad,
    out,
    q_stride,
    k_stride,
    v_stride,
    bias_stride,
    n_heads,
    q_width,
    v_width,
    length,
    scale,
    PRECISION: tl.constexpr,
    PLACES: tl.constexpr,
    Q_WIDTH: tl.constexpr,
    V_WIDTH: tl.constexpr,
):
    """Compute the gradient of each session's bias; see `silu_attention.silu_attention`."""
    session = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    other = tl.program_id(2) * PLACES + tl.arange(0, PLACES)
    row, from_row = _rows(cells, session, place, length), _rows(cells, session, other, length)
    total = tl.zeros((PLACES, PLACES), dtype=tl.float32)
    if (tl.program_id(2) <= tl.program_id(1)) & (tl.max(row, 0) >= 0) & (tl.max(from_row, 0) >= 0):
        sees = _sees(row, from_row, place, other)
        for head in range(n_heads):
            mine = _tile(q, row, q_stride, head, q_width, Q_WIDTH)
            theirs = _tile(k, from_row, k_stride, head, q_width, Q_WIDTH)
            scores = _scores(mine, theirs, bias, bias_stride, session, place, other, length, True, PRECISION)
            by_out = _tile(grad, row, n_heads * v_width, head, v_width, V_WIDTH)
            values = _tile(v, from_row, v_stride, head, v_width, V_WIDTH)
            by_weights = tl.dot(by_out, tl.trans(values), input_precision=PRECISION) * scale
            total += tl.where(sees, by_weights * _slope(scores), 0.0)
    at = session * length * length + place[:, None] * length + other[None, :]
    tl.store(out + at, total, mask=(place[:, None] < length) & (other[None, :] < length))
