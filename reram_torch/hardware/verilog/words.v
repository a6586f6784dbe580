// A search by words: of a table's words the first is where it begins.
//
// A word is {other, code, below, above}. Of a node `code` is what the DAC shows; where the sum lies
// below or above, the search goes on as that link says: {0, address of a word}, or {1, level}, relative
// to the code. Of an `other` word the links' bits are {.., place, single, half, step}: a run, whose first
// trial is the code and whose step is 2^step; or, if `single`, a level, with no comparison.
module word_search #(
    parameter BITS = 8,
    parameter PAYLOAD = 4,             // bits of a link but for its first
    parameter ADDRESS = 4,             // bits of an address
    parameter PLACE = 3,               // bits of a place: 2^PLACE >= BITS
    parameter RUNS = 1,                // 0: nodes and levels only
    parameter ALIGNED = 1,             // runs begin at multiples of their widths
    parameter ESCAPES = 0,             // a level of ones only means: recover the sum
    parameter WORD = BITS + 3 + 2 * PAYLOAD
) (
    input  wire               clk,
    input  wire               start,
    input  wire               cmp,
    input  wire [WORD-1:0]    word,     // at `address`
    output wire [ADDRESS-1:0] address,
    output wire [BITS-1:0]    dac,
    output wire               done,
    output wire [BITS-1:0]    level,
    output wire               half,
    output wire               escape
);
  localparam LINK = PAYLOAD + 1;
  wire other, busy, running, last, ends;
  wire [BITS-1:0] code, kept, shown;
  wire [LINK-1:0] link_below, link_above;
  assign {other, code, link_below, link_above} = word;
  wire [2*LINK-1:0] links = {link_below, link_above};
  wire [PLACE-1:0] step = links[PLACE-1:0];
  wire single = other & links[PLACE+1];

  // Where the search is.
  wire [LINK-1:0] link = cmp ? link_above : link_below;
  wire [ADDRESS-1:0] at;
  wire in_run = (RUNS != 0) & (running | other);
  wire leaf = ~in_run & link[LINK-1];
  wire go = ~in_run & ~link[LINK-1];
  assign ends = start ? single : in_run ? last : leaf;
  gated_register #(.BITS(1)) is_busy (
      .clk(clk), .enable(start | busy), .d(~ends), .q(busy)
  );
  gated_register #(.BITS(ADDRESS)) place (
      .clk(clk), .enable(start | busy & go), .d(link[ADDRESS-1:0] & {ADDRESS{~start}}), .q(at)
  );
  assign address = at & {ADDRESS{~start}};
  assign done = ~busy;

  // What adds up levels is shown nodes only that a level may follow: elsewhere it does not move.
  wire near = ~in_run & (link_below[LINK-1] | link_above[LINK-1]);
  wire [BITS-1:0] base = code & {BITS{near}};
  // A level relative to the code: the rest of the link, upwards from above and downwards from below.
  wire [BITS-1:0] distance = {{BITS - PAYLOAD + 1{~cmp}}, link[PAYLOAD-1:1]} & {BITS{near}};
  wire [BITS-1:0] next;
  wire half_next;
  generate
    if (RUNS) begin : runs
      wire coarse = |step;
      wire [BITS-1:0] trial, ending;
      place_of #(.PLACES(BITS), .BITS(PLACE)) finish (.number(step), .places(ending));
      gated_register #(.BITS(1)) is_running (
          .clk(clk), .enable(start | busy), .d(~start & in_run), .q(running)
      );
      assign last = |(trial & ending);
      assign half_next = start | in_run ? links[PLACE] : link[0];
      if (ALIGNED) begin : aligned
        // The lowest zero of the code is the trial bit, and no bit carries.
        wire [BITS-1:0] moved = last & coarse ? trial >> 1 : {BITS{1'b0}};
        wire [BITS-1:0] rest = last ? ~(trial - 1'b1) : ~(trial >> 1);
        wire [BITS-1:0] stepped = dac & rest & ~trial | trial & {BITS{cmp}} | moved;
        wire [BITS-1:0] searched = dac | {BITS{~in_run}};
        assign trial = ~searched & (searched + 1'b1);
        assign next = in_run ? stepped : base + distance + 1'b1;
      end else begin : anywhere
        wire [BITS-1:0] kept_trial, began;
        place_of #(.PLACES(BITS), .BITS(PLACE)) beginning (
            .number(links[2*PLACE+1:PLACE+2]), .places(began)
        );
        assign trial = running ? kept_trial : began;
        gated_register #(.BITS(BITS)) moving (
            .clk(clk), .enable(busy & in_run), .d(trial >> 1), .q(kept_trial)
        );
        wire [BITS-1:0] up = trial >> 1;
        wire [BITS-1:0] change = in_run ? (cmp ? up : ~up + 1'b1) : distance;
        wire carry = ~in_run | last & (coarse | cmp);
        assign next = dac + change + carry;
      end
    end else begin : no_runs
      assign running = 1'b0;
      assign last = 1'b0;
      assign half_next = start ? links[PLACE] : link[0];
      assign next = base + distance + 1'b1;
    end
    if (ESCAPES) begin : escapes
      wire out = ~start & leaf & link[0] & (link[PAYLOAD-1:1] == {PAYLOAD - 1{cmp}});
      gated_register #(.BITS(1)) is_out (
          .clk(clk), .enable(start | busy), .d(out), .q(escape)
      );
    end else assign escape = 1'b0;
  endgenerate
  // What is shown of a run, and what is found.
  assign dac = running ? kept : code;
  assign shown = start ? code : next;
  gated_register #(.BITS(BITS + 1)) found (
      .clk(clk), .enable(start ? single : busy & (in_run | leaf)), .d({half_next, shown}),
      .q({half, kept})
  );
  assign level = kept;
endmodule

// The same with its words in latches, which are written while done only.
module sar_words #(
    parameter BITS = 8,
    parameter PAYLOAD = 4,
    parameter ADDRESS = 4,
    parameter WORDS = 16,
    parameter PLACE = 3,
    parameter RUNS = 1,
    parameter ALIGNED = 1,
    parameter ESCAPES = 0,
    parameter WORD = BITS + 3 + 2 * PAYLOAD
) (
    input  wire               clk,
    input  wire               start,
    input  wire               cmp,
    input  wire               write,
    input  wire [ADDRESS-1:0] write_address,
    input  wire [WORD-1:0]    word,
    output wire [BITS-1:0]    dac,
    output wire               done,
    output wire [BITS-1:0]    level,
    output wire               half,
    output wire               escape
);
  wire [ADDRESS-1:0] address;
  wire [WORD-1:0] read;
  word_memory #(.BITS(WORD), .WORDS(WORDS), .ADDRESS(ADDRESS)) memory (
      .write(write), .write_address(write_address), .d(word), .address(address), .word(read)
  );
  word_search #(
      .BITS(BITS), .PAYLOAD(PAYLOAD), .ADDRESS(ADDRESS), .PLACE(PLACE), .RUNS(RUNS),
      .ALIGNED(ALIGNED), .ESCAPES(ESCAPES)
  ) search (
      .clk(clk), .start(start), .cmp(cmp), .word(read), .address(address), .dac(dac),
      .done(done), .level(level), .half(half), .escape(escape)
  );
endmodule
