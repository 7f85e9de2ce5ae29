// Makes a picture with the official @comfyorg/sdk, which speaks `/api/v2`, and uses it as an input.
import { readFileSync, writeFileSync } from 'node:fs'

const [url, graph, folder] = process.argv.slice(2)
process.env.COMFY_BASE_URL = url
const { Comfy } = await import('@comfyorg/sdk')
const client = new Comfy()
const job = await client.run(client.workflows.fromJson(JSON.parse(readFileSync(graph))))
const bytes = Buffer.from(await job.getOutputs('picture')[0].toBytes())
writeFileSync(`${folder}/picture.png`, bytes)

const asset = client.assets.fromBytes(bytes, { filename: 'mine.png' })
const mine = { class_type: 'LoadImage', inputs: { image: asset } }
const shown = { class_type: 'PreviewImage', inputs: { images: ['mine', 0] } }
const again = await client.submit(client.workflows.fromJson({ mine, shown }))
const heard = []
for await (const event of again.events()) heard.push(event.type ?? event.kind)
await again.result()
if (again.outputs.length !== 1) throw new Error(`${again.outputs.length} outputs`)
if (!heard.length) throw new Error('nothing was heard')
