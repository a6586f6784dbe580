// A programmable SAR: any number of comparisons, any step that is a power of two.
//
// The word is {none, top, step}: `step` is log2 of the step, `top` the place of the first bit, the
// number of comparisons plus `step` less one. With `none` set, and `top` 0, there are no comparisons,
// and the level is the middle of one step. `word` holds from start until done.
module programmable_search #(
    parameter BITS = 8,
    parameter SIGNED = 0,
    parameter PLACE = 3,               // bits of a place: 2^PLACE >= BITS
    parameter WORD = 2 * PLACE + 1
) (
    input  wire            clk,
    input  wire            start,
    input  wire            cmp,
    input  wire [WORD-1:0] word,
    output wire [BITS-1:0] dac,
    output wire            done,
    output wire [BITS-1:0] level,
    output wire            half
);
  wire none;
  wire [PLACE-1:0] top, step;
  assign {none, top, step} = word;

  // Below `last`, where the sequence ends, are the bits that the step leaves out.
  wire [BITS-1:0] last;
  place_of #(.PLACES(BITS), .BITS(PLACE)) ending (.number(step), .places(last));
  wire [BITS-1:0] under;  // the first bit
  below #(.PLACES(BITS), .BITS(PLACE)) reach (.number(top), .places(under));
  wire coarse = ~last[0];

  wire [BITS:0] bits, ones;
  // With bits to find the place of half a step holds a one anyhow; without, it is the level.
  wire [BITS:0] first = {under | {1'b0, last[BITS-1:1]}, ~none};
  sar_sequence #(.BITS(BITS)) sequence (
      .clk(clk), .load(start), .enable(start | ~done), .cmp(cmp), .first(first),
      .bits(bits), .ones(ones)
  );
  assign done = ~bits[0] | |(last[BITS-1:1] & ~bits[BITS-1:1]);

  // Thresholds lie half a step below multiples of the step: `dac`, one less than the threshold, has a
  // zero in the place of half a step, and ones below. What is decided lies above the lowest zero.
  wire [BITS-1:0] shown = bits[BITS:1] & ~{1'b0, last[BITS-1:1]};
  wire [BITS-1:0] decided = bits[BITS:1] & ~ones[BITS:1];
  assign half = coarse & |level;
  genvar i;
  generate
    if (SIGNED) begin : signs
      wire [BITS-1:0] sign = ~under;  // the place of the first bit, and all above
      wire negative = ~none & ~|(bits[BITS:1] & sign);
      for (i = 0; i < BITS; i = i + 1) begin : place
        // Below zero thresholds are mirrored: ones and zeros of the bits left out change places.
        wire left_out;
        if (i == BITS - 1) assign left_out = 1'b0;
        else assign left_out = |last[BITS-1:i+1];
        assign dac[i] = sign[i] ? negative : shown[i] ^ (negative & left_out);
        assign level[i] = (sign[i] ? negative : decided[i]) | (i == 0 & negative & coarse);
      end
    end else begin : no_signs
      assign dac = shown;
      assign level = decided;
    end
  endgenerate
endmodule

// The same with its word in latches, which are written while done only.
module sar_programmable #(
    parameter BITS = 8,
    parameter SIGNED = 0,
    parameter PLACE = 3,
    parameter WORD = 2 * PLACE + 1
) (
    input  wire            clk,
    input  wire            start,
    input  wire            cmp,
    input  wire            write,
    input  wire [WORD-1:0] word,
    output wire [BITS-1:0] dac,
    output wire            done,
    output wire [BITS-1:0] level,
    output wire            half
);
  wire [WORD-1:0] kept;
  word_latch #(.BITS(WORD)) latch (.write(write), .d(word), .q(kept));
  programmable_search #(.BITS(BITS), .SIGNED(SIGNED), .PLACE(PLACE)) search (
      .clk(clk), .start(start), .cmp(cmp), .word(kept), .dac(dac), .done(done), .level(level),
      .half(half)
  );
endmodule
