-- For pandoc: gives docs/manual.md the sections of README.md that it names in a block of the class "readme".

local function inlines(cell)
  return pandoc.utils.blocks_to_inlines(cell)
end

-- Of a table: its first column becomes a heading and a list of names, the others are told below each name.
local function list(tbl)
  local simple = pandoc.utils.to_simple_table(tbl)
  local labels = simple.header
  local items = pandoc.List(simple.rows):map(function(row)
    local told = pandoc.List()
    for column = 2, #row do
      local text = inlines(row[column])
      if column > 2 and #text > 0 then
        told:insert(pandoc.RawInline("man", "\n.br\n"))
      end
      local label = pandoc.utils.stringify(labels[column])
      if #text > 0 and label ~= "meaning" and label ~= "what" then
        told:extend { pandoc.Str(label .. ":"), pandoc.Space() }
      end
      told:extend(text)
    end
    return { inlines(row[1]), { { pandoc.Plain(told) } } }
  end)
  return { pandoc.Header(2, inlines(labels[1])), pandoc.DefinitionList(items) }
end

-- README's level 2 is a section of the page, whose name is in capitals.
local function heading(header)
  header.level = header.level - 1
  if header.level == 1 then
    header.content = { pandoc.Str(pandoc.text.upper(pandoc.utils.stringify(header))) }
  end
  return header
end

-- The fonts of fixed width are not known everywhere; what is literal is bold in manual pages.
local function literal(code)
  return pandoc.Strong { pandoc.Str(code.text) }
end

local function sections(names)
  local file = assert(io.open "README.md")
  local readme = pandoc.read(file:read "a", "gfm")
  file:close()
  local blocks = pandoc.List()
  for name in names:gmatch "%S+" do
    local found, inside = false, false
    for _, block in ipairs(readme.blocks) do
      if block.t == "Header" and block.level <= 2 then
        inside = pandoc.utils.stringify(block) == name
        found = found or inside
      end
      if inside then
        blocks:insert(block)
      end
    end
    assert(found, "README.md has no section " .. name)
  end
  return pandoc.walk_block(pandoc.Div(blocks), { Header = heading, Table = list }).content
end

return {
  {
    Div = function(div)
      return div.classes:includes "readme" and sections(pandoc.utils.stringify(div)) or nil
    end,
  },
  { Code = literal },
}
